"""SentencePiece as the program uses it: train, load, encode, decode; one joint vocabulary or one per language.

Text that `normalize` made comes back from its tokens exactly, whatever its characters, if bytes stand in for
unknown ones.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import sentencepiece

from mtcli.data.corpus import SentencePair
from mtcli.data.surfaces import surfaces
from mtcli.errors import DataError, ModelError, ResourceError, UsageError
from mtcli.settings import TokenizerSettings

PAD, UNK, BOS, EOS = 0, 1, 2, 3  # as in mtcli.layout, which needs torch; a test compares them
JOINT = "tokenizer.model"
SEPARATE = ("source.model", "target.model")

TRAINING_THREADS = 4  # a SentencePiece model depends on the number of threads, so it must not follow the machine
ENCODING_THREADS = 4  # tokens do not; more than four gain little
MANY = 1000  # lines; for fewer, starting threads takes longer than encoding
SAMPLE = 1_000_000  # pairs to learn a vocabulary from: more change few pieces and take minutes and gigabytes
LONGEST = 8192  # bytes of a line to learn from; one of 64 kB takes unigram 10 seconds, one of 200 kB makes it fail

SPACE = "\u2581"  # SentencePiece writes a space as this block element and decodes it as a space
STAND_IN = "\ufdd0"  # so a block element in text goes by this noncharacter, which no text may contain
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class Trained:
    """A new tokenizer, and the size of vocabulary that was asked for."""

    tokenizer: Tokenizer
    requested: int

    @property
    def reduced(self) -> bool:
        """Whether the text was too little for as many pieces as were asked for."""
        return min(self.tokenizer.source_size, self.tokenizer.target_size) < self.requested

    def notes(self) -> list[str]:
        """What the user should know, as sentences."""
        if not self.reduced:
            return []
        sizes = f"{self.tokenizer.source_size:,}"
        if not self.tokenizer.joint:
            sizes += f" for the source and {self.tokenizer.target_size:,} for the target"
        return [f"the text is too little for {self.requested:,} pieces: the vocabulary was reduced to {sizes}"]


class Tokenizer:
    """Text to tokens and back, for the source and the target language; BOS and EOS are left to the batches."""

    def __init__(self, source: bytes, target: bytes | None = None) -> None:
        """Take serialized SentencePiece models; without `target`, one serves both languages."""
        self._models = (source,) if target is None else (source, target)
        self._source = _processor(source)
        self._target = self._source if target is None else _processor(target)

    @classmethod
    def load(cls, directory: Path) -> Tokenizer:
        """Read `tokenizer.model`, or `source.model` and `target.model`; `ModelError` if there is no usable one."""
        try:
            files = {
                name: (directory / name).read_bytes() for name in (JOINT, *SEPARATE) if (directory / name).exists()
            }
        except OSError as error:
            raise ModelError(f"the tokenizer in {directory} cannot be read: {error.strerror}") from error
        return cls.from_bytes(files, str(directory))

    @classmethod
    def from_bytes(cls, files: Mapping[str, bytes], where: str = "this model") -> Tokenizer:
        """The tokenizer in what `files()` returned; `ModelError`, naming `where`, if it is none."""
        if set(files) not in ({JOINT}, set(SEPARATE)):
            found = ", ".join(files) or "nothing"
            raise ModelError(
                f"there is no tokenizer in {where}",
                f"it consists of {JOINT}, or of {' and '.join(SEPARATE)}; found: {found}",
            )
        try:
            return cls(*(files[name] for name in (JOINT, *SEPARATE) if name in files))
        except ModelError as error:
            raise ModelError(f"the tokenizer in {where} cannot be used: {error.message}", *error.details) from error

    def files(self) -> dict[str, bytes]:
        """File names and contents of the SentencePiece models."""
        return dict(zip((JOINT,) if self.joint else SEPARATE, self._models, strict=True))

    def save(self, directory: Path) -> None:
        """Write `files()` into `directory`, and remove a tokenizer of the other kind; `ResourceError` if refused."""
        files = self.files()
        try:
            directory.mkdir(parents=True, exist_ok=True)
            for name in (JOINT, *SEPARATE):
                if name in files:
                    (directory / name).write_bytes(files[name])
                else:
                    (directory / name).unlink(missing_ok=True)
        except OSError as error:
            raise ResourceError(f"the tokenizer cannot be written to {directory}: {error.strerror}") from error

    @property
    def joint(self) -> bool:
        """Whether both languages share one vocabulary."""
        return len(self._models) == 1

    @property
    def source_size(self) -> int:
        """Tokens of the source vocabulary, the special ones included."""
        return int(self._source.get_piece_size())

    @property
    def target_size(self) -> int:
        """Tokens of the target vocabulary, the special ones included."""
        return int(self._target.get_piece_size())

    @property
    def digest(self) -> str:
        """SHA-256 of the models, in hexadecimal digits; equal tokenizers have equal digests."""
        parts = (hashlib.sha256(model).digest() for model in self._models)
        return hashlib.sha256(b"".join(parts)).hexdigest()

    def encode_source(self, lines: Sequence[str]) -> list[list[int]]:
        """The tokens of each line, without BOS and EOS."""
        return _encode(self._source, lines)

    def encode_target(self, lines: Sequence[str]) -> list[list[int]]:
        """The tokens of each line, without BOS and EOS."""
        return _encode(self._target, lines)

    def decode_target(self, tokens: Sequence[Sequence[int]]) -> list[str]:
        """The text of each token list: always one line; special tokens leave no trace, broken UTF-8 gives U+FFFD."""
        rows = [[int(token) for token in row if token > EOS] for row in tokens]
        texts: list[str] = self._target.decode(rows, num_threads=_threads(rows))
        return [_readable(text) for text in texts]

    def pieces_source(self, tokens: Sequence[int]) -> list[str]:
        """How the vocabulary writes each source token, to show to people."""
        return [self._source.id_to_piece(int(token)) for token in tokens]

    def pieces_target(self, tokens: Sequence[int]) -> list[str]:
        """How the vocabulary writes each target token, to show to people."""
        return [self._target.id_to_piece(int(token)) for token in tokens]

    def spelling_target(self) -> list[str | bytes]:
        """What each target token adds to the text: characters, the byte that it stands for, or nothing if special."""
        return [self._spelling(token) for token in range(self.target_size)]

    def _spelling(self, token: int) -> str | bytes:
        piece: str = self._target.id_to_piece(token)
        if token <= EOS or self._target.is_control(token):
            return ""
        if self._target.is_byte(token):
            return bytes([int(piece[1:-1], 16)])
        return piece.replace(SPACE, " ").replace(STAND_IN, SPACE)

    def surfaces_source(self, line: str) -> list[str]:
        """What each token of `encode_source` adds to the text of a line."""
        return _surfaces(self._source, line)

    def surfaces_reference(self, line: str) -> list[str]:
        """What each token of `encode_target` adds to the text of a line."""
        return _surfaces(self._target, line)

    def surfaces_target(self, tokens: Sequence[int]) -> list[str]:
        """What each target token adds to the text of `decode_target`; special tokens add nothing."""
        kept = [int(token) for token in tokens if token > EOS]
        texts = iter(surfaces(self.pieces_target(kept), [bool(self._target.is_byte(token)) for token in kept]))
        return [_readable(next(texts).replace(SPACE, " ")) if token > EOS else "" for token in tokens]


def train(pairs: Iterable[SentencePair], settings: TokenizerSettings, directory: Path) -> Trained:
    """Learn a tokenizer from normalised text and save it in `directory`; the same pairs give the same bytes.

    A vocabulary larger than the text supports is reduced. Raises `DataError` if there is no text, `UsageError` if
    the vocabulary cannot even hold the characters.
    """
    sample = _sample(pairs)
    sources, targets = [pair.source for pair in sample], [pair.target for pair in sample]
    languages = [sources + targets] if settings.joint else [sources, targets]
    tokenizer = Tokenizer(*(_learn(lines, settings) for lines in languages))
    tokenizer.save(directory)
    return Trained(tokenizer, settings.vocab_size)


def _sample(pairs: Iterable[SentencePair]) -> list[SentencePair]:
    """Up to `SAMPLE` pairs, each with the same probability (Vitter 1985, algorithm R), the same in every run."""
    generator = random.Random(0)
    sample: list[SentencePair] = []
    for number, pair in enumerate(pairs):
        if number < SAMPLE:
            sample.append(pair)
        elif (slot := generator.randrange(number + 1)) < SAMPLE:
            sample[slot] = pair
    return sample


def _learn(lines: list[str], settings: TokenizerSettings) -> bytes:
    """A serialized SentencePiece model."""
    model = BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=map(_escape, lines),
            model_writer=model,
            model_type=settings.tokenizer_model,
            vocab_size=settings.vocab_size,
            hard_vocab_limit=False,
            character_coverage=settings.character_coverage,
            byte_fallback=settings.byte_fallback,
            normalization_rule_name="identity",
            pad_id=PAD,
            unk_id=UNK,
            bos_id=BOS,
            eos_id=EOS,
            max_sentence_length=LONGEST,
            num_threads=TRAINING_THREADS,
            minloglevel=3,
        )
    except RuntimeError as error:
        raise _explain(str(error), settings.vocab_size) from error
    return model.getvalue()


def _explain(reason: str, vocab_size: int) -> Exception:
    """What SentencePiece's message means for the user."""
    if "sentences_.empty()" in reason or "all_chars_count" in reason:
        return DataError("there is no text to learn a tokenizer from", f"lines over {LONGEST:,} bytes do not count")
    if needed := re.search(r"required_chars\. \d+ vs (\d+)", reason):
        return UsageError(
            f"a vocabulary of {vocab_size} pieces is too small for this text",
            f"its characters, the bytes and the special tokens alone are {needed[1]}:"
            f" set --vocab-size to {needed[1]} or more, or lower --character-coverage",
        )
    return RuntimeError(f"SentencePiece could not train: {reason}")


def _processor(model: bytes) -> Any:
    """The processor of a serialized model; `ModelError` if it is damaged or has other special tokens."""
    try:
        processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        processor.id_to_piece(list(range(processor.get_piece_size())))  # fails where a piece is not UTF-8
    except (RuntimeError, UnicodeDecodeError) as error:
        raise ModelError("it is no SentencePiece model, or a damaged one") from error
    specials = (processor.pad_id(), processor.unk_id(), processor.bos_id(), processor.eos_id())
    if specials != (PAD, UNK, BOS, EOS):
        raise ModelError(
            f"its special tokens pad, unk, bos, eos are {', '.join(map(str, specials))}, not 0, 1, 2, 3",
            "train it with `mtcli tokenizer train`, or with --pad_id=0 --unk_id=1 --bos_id=2 --eos_id=3",
        )
    return processor


def _encode(processor: Any, lines: Sequence[str]) -> list[list[int]]:
    tokens: list[list[int]] = processor.encode([_escape(line) for line in lines], num_threads=_threads(lines))
    return tokens


def _surfaces(processor: Any, line: str) -> list[str]:
    text = _escape(line)
    pieces = processor.encode(text, out_type=str)  # unknown characters are in these as they were
    are_bytes = [bool(processor.is_byte(token)) for token in processor.encode(text)]
    return [_readable(piece.replace(SPACE, " ")) for piece in surfaces(pieces, are_bytes)]


def _escape(line: str) -> str:
    return line.replace(SPACE, STAND_IN)


def _readable(text: str) -> str:
    # A model may spell a line feed or an escape sequence byte by byte; normalised text has no such thing.
    return CONTROL.sub(" ", text).replace(STAND_IN, SPACE)


def _threads(rows: Sequence[object]) -> int:
    return ENCODING_THREADS if len(rows) >= MANY else 1
