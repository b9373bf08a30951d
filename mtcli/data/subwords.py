"""Sentences cut into pieces at random: Kudo 2018 for unigram tokenizers, Provilkov et al. 2020 for BPE.

SentencePiece can do it, but not the same twice: its generator takes a seed only before a thread first uses it, and
since version 0.2.2 mixes it with something that no other process knows. So the choices are made here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import sentencepiece

from mtcli.data.encoded import Numbers, Sentences, flat
from mtcli.data.segmentation import NEVER, BpeDropout, Pieces, Segmenter, UnigramSampling, Vocabulary
from mtcli.data.tokenizer import SPACE, Tokenizer
from mtcli.settings import TrainingSettings

Keys = npt.NDArray[np.uint64]
Flags = npt.NDArray[np.bool_]

GOLDEN, FIRST, SECOND = (np.uint64(each) for each in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
"""The constants of SplitMix64 (Steele et al. 2014)."""


@dataclass(frozen=True)
class Cutter:
    """Cuts sentences of one language, word by word where no piece goes over the border of words."""

    segmenter: Segmenter
    opens: Flags
    """Tokens that begin a word."""
    fixed: Flags
    """Tokens that stay as they are, each a word: bytes, unknown characters, symbols that are not cut."""

    @classmethod
    def of(cls, model: bytes, settings: TrainingSettings) -> Cutter | None:
        """For a serialized model, as the setting for its kind says; None if that is off."""
        processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        tokens = range(processor.get_piece_size())
        names = [processor.id_to_piece(token) for token in tokens]
        fixed = np.array([special(processor, token) for token in tokens])
        scores = [NEVER if fixed[token] else processor.get_score(token) for token in tokens]
        vocabulary = Vocabulary(names, scores)
        across = any(SPACE in name[1:] for name in vocabulary.numbers)
        opens = fixed | np.array([name.startswith(SPACE) and not across for name in names])
        match kind(processor):
            case "bpe" if settings.bpe_dropout:
                return cls(BpeDropout(vocabulary, settings.bpe_dropout), opens, fixed)
            case "unigram" if settings.unigram_temperature:
                return cls(UnigramSampling(vocabulary, settings.unigram_temperature), opens, fixed)
        return None

    def cut(self, plain: Sentences, keys: Keys, longest: int) -> Sentences:
        """Other pieces for the same texts, each decided by its key; those of over `longest` stay as they are."""
        begins = self.begins(plain)
        counts = np.add.reduceat(begins, plain.offsets[:-1], dtype=np.int64)
        places = np.flatnonzero(begins)
        numbers = uniforms(
            np.repeat(keys, counts), np.arange(len(places)) - np.repeat(np.cumsum(counts) - counts, counts)
        )
        tokens = plain.tokens.tolist()
        borders = [*places.tolist(), len(tokens)]
        words = [tuple(tokens[a:b]) for a, b in pairwise(borders)]
        free = (~self.fixed[plain.tokens[places]]).tolist()
        draw = self.segmenter.draw
        drawn = [draw(word, u) if f else word for word, u, f in zip(words, numbers.tolist(), free, strict=True)]
        found = laid(drawn, counts)
        if not (short := np.repeat(found.lengths <= longest, counts)).all():
            found = laid([new if ok else old for old, new, ok in zip(words, drawn, short, strict=True)], counts)
        return found

    def begins(self, sentences: Sentences) -> Flags:
        """Which tokens are the first of a word."""
        begins = self.opens[sentences.tokens]
        begins[1:] |= self.fixed[sentences.tokens[:-1]]
        begins[sentences.offsets[:-1]] = True
        return begins


def laid(words: Sequence[Pieces], counts: Numbers) -> Sentences:
    """Words laid end to end as sentences; `counts` are the words of each."""
    tokens, lengths = flat(words, np.dtype(np.uint32))
    return Sentences.laid(tokens, np.add.reduceat(lengths, np.cumsum(counts) - counts))


def keys_of(purpose: Sequence[int], numbers: Numbers) -> Keys:
    """One key for each of the numbers, for this purpose alone."""
    start = np.random.SeedSequence(purpose).generate_state(1, np.uint64)
    return mixed(start + (numbers + 1).astype(np.uint64) * GOLDEN)


def uniforms(keys: Keys, numbers: Numbers) -> npt.NDArray[np.float64]:
    """Of the random numbers in [0, 1) that each key has, the one with that number."""
    bits = mixed(keys + (numbers + 1).astype(np.uint64) * GOLDEN)
    return np.asarray(bits >> np.uint64(11), np.float64) * 2.0**-53


def mixed(states: Keys) -> Keys:
    """The outputs of SplitMix64 for its states."""
    bits = (states ^ (states >> np.uint64(30))) * FIRST
    bits = (bits ^ (bits >> np.uint64(27))) * SECOND
    return bits ^ (bits >> np.uint64(31))


def special(processor: Any, token: int) -> bool:
    """Whether a token is something else than a piece of text."""
    return any(
        (
            processor.is_control(token),
            processor.is_unknown(token),
            processor.is_byte(token),
            processor.is_unused(token),
        )
    )


def kind(processor: Any) -> str:
    """`unigram` or `bpe`, or nothing for models that know one segmentation only; told by what a model can do."""
    try:
        processor.sample_encode_as_ids("a", -1, 1.0)
    except RuntimeError:
        return ""
    try:
        processor.nbest_encode_as_ids("a", 2)
    except RuntimeError:
        return "bpe"
    return "unigram"


def kinds(tokenizer: Tokenizer) -> set[str]:
    """The kinds of a tokenizer's models."""
    return {kind(sentencepiece.SentencePieceProcessor(model_proto=model)) for model in tokenizer.files().values()}
