"""`mtcli tokenizer`: train a tokenizer, and look at what it does."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mtcli.cli.flags import with_settings
from mtcli.cli.model import ModelOption
from mtcli.errors import DataError, UsageError

if TYPE_CHECKING:
    from mtcli.data.tokenizer import Tokenizer

app = typer.Typer(help="Train a tokenizer, and look at what it does.", no_args_is_help=True)


@app.command("train")
@with_settings(
    "data",
    "tokenizer",
    only=(
        "source_lang",
        "target_lang",
        "strict",
        "vocab_size",
        "tokenizer_model",
        "joint",
        "byte_fallback",
        "character_coverage",
    ),
)
def train(
    corpora: Annotated[list[str], typer.Argument(help="corpora, as for mtcli train")],
    output: Annotated[Path, typer.Option("--output", "-o", help="directory of the tokenizer")],
    typed: dict[str, Any],
) -> None:
    """Learn pieces from corpora with SentencePiece."""
    from mtcli import recipe as recipes
    from mtcli.data import tokenizer as tokenizers
    from mtcli.data.corpus import Account, open_corpora

    recipe = recipes.resolve({}, typed)
    data = recipe.data
    if not (data.source_lang and data.target_lang):
        raise UsageError("the languages are missing", "for example: -s en -t de")
    account = Account()
    opened = open_corpora(corpora, data.source_lang, data.target_lang, data.strict)
    pairs = (pair for corpus in opened for pair in corpus.pairs(account))
    trained = tokenizers.train(pairs, recipe.tokenizer, output)
    for sentence in trained.notes():
        print(f"warning: {sentence}", file=sys.stderr)
    print(f"corpus: {account}", file=sys.stderr)
    print(f"next: mtcli train --tokenizer {quote(str(output))} --train {quote(corpora[0])} ...", file=sys.stderr)


CHUNK = 4096
"""Lines of a file that are worked on together."""

Side = Annotated[str, typer.Option("--side", help="source or target")]


@app.command("encode")
def encode(
    model: ModelOption,
    file: Annotated[Path | None, typer.Argument(help="text [default: stdin]")] = None,
    side: Side = "source",
    ids: Annotated[bool, typer.Option("--ids", help="print numbers instead of pieces")] = False,
) -> None:
    """Cut text into pieces, separated by spaces."""
    from mtcli.cli.text import lines_of
    from mtcli.data.normalize import normalize
    from mtcli.decoding.arrivals import chunks

    tokenizer = opened(model, side)
    cut = tokenizer.encode_source if side == "source" else tokenizer.encode_target
    name = tokenizer.pieces_source if side == "source" else tokenizer.pieces_target
    for lines in chunks(map(normalize, lines_of(file)), CHUNK):
        for tokens in cut(lines):
            print(" ".join(map(str, tokens) if ids else name(tokens)))
        sys.stdout.flush()


@app.command("decode")
def decode(
    model: ModelOption,
    file: Annotated[Path | None, typer.Argument(help="token numbers, separated by spaces [default: stdin]")] = None,
) -> None:
    """Join the token numbers of target sentences back into text."""
    from mtcli.cli.text import lines_of
    from mtcli.decoding.arrivals import chunks

    tokenizer = opened(model, "target")
    count = itertools.count(1)
    for lines in chunks(lines_of(file), CHUNK):
        for line in lines:
            print(tokenizer.decode_target([numbers(next(count), line, tokenizer.target_size)])[0])
        sys.stdout.flush()


def numbers(number: int, line: str, vocabulary: int) -> list[int]:
    """The token numbers in a line; `DataError` if there is something else in it."""
    words = line.split()
    if not all(word.isascii() and word.isdecimal() and len(word) < 10 and int(word) < vocabulary for word in words):
        raise DataError(
            f"line {number:,} is no line of token numbers below {vocabulary:,}: {line[:60]!r}",
            "they come from mtcli tokenizer encode --side target --ids",
        )
    return [int(word) for word in words]


def opened(path: Path, side: str) -> Tokenizer:
    """The tokenizer in a directory of its own, in a run or in a checkpoint."""
    if side not in ("source", "target"):
        raise UsageError(f"there is no side {side!r}", "choose source or target")
    from mtcli.checkpoint import steps, store
    from mtcli.data.tokenizer import Tokenizer

    own = path / "tokenizer.model", path / "source.model"
    if any(file.exists() for file in own):
        return Tokenizer.load(path)
    return Tokenizer.from_bytes(store.load(steps.find(path)).tokenizer)
