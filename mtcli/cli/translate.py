"""`mtcli translate`: lines in, translations out, in order, each as soon as it is known."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mtcli.cli.flags import with_settings
from mtcli.cli.model import MACHINE, ModelOption
from mtcli.errors import UsageError

if TYPE_CHECKING:
    from mtcli.decoding.translator import Translation

CHUNK = 4096
"""Lines of a file that are sorted by length and decoded together."""

FIRST_CHUNK = 64
"""As many of them at first; then four times as many, until it is `CHUNK`."""


@with_settings("decoding", extra=MACHINE)
def translate(
    model: ModelOption,
    typed: dict[str, Any],
    file: Annotated[
        Path | None, typer.Argument(help="text to translate, one sentence per line [default: stdin]")
    ] = None,
    greedy: Annotated[bool, typer.Option("--greedy", help="short for --decoding greedy")] = False,
    sample: Annotated[bool, typer.Option("--sample", help="short for --decoding sample")] = False,
    format: Annotated[str, typer.Option("--format", help="text, tsv (line, rank, score, text) or jsonl")] = "text",
) -> None:
    """Translate raw text to raw text: as many lines out as in, in the same order."""
    if format not in FORMATS:
        raise UsageError(f"there is no format {format!r}", f"choose one of: {', '.join(FORMATS)}")
    if greedy and sample:
        raise UsageError("--greedy and --sample contradict each other")
    if greedy or sample:
        strategy = "greedy" if greedy else "sample"
        if typed.setdefault("decoding", strategy) != strategy:
            raise UsageError(f"--{strategy} and --decoding {typed['decoding']} contradict each other")
    if format == "text" and typed.get("n_best", 1) > 1:
        raise UsageError("--n-best has no place in one line per sentence", "use --format tsv or jsonl")
    write, count = FORMATS[format], itertools.count(1)
    for translations in translated(model, file, typed):
        for translation in translations:
            for line in write(next(count), translation):
                print(line)
        sys.stdout.flush()


def translated(model: Path, file: Path | None, typed: dict[str, Any]) -> Iterator[list[Translation]]:
    """The translation of every line of the input, in chunks, each as soon as it is known."""
    from mtcli.cli.model import load
    from mtcli.cli.text import lines_of
    from mtcli.data.normalize import normalize
    from mtcli.decoding.arrivals import chunks
    from mtcli.decoding.translator import Translator

    loaded = load(model, typed)
    restored, language = loaded.restored, loaded.restored.recipe.data.target_lang
    translator = Translator(restored.model, restored.tokenizer, loaded.decoding, loaded.device, target_lang=language)
    split: list[int] = []
    seen = 0
    with loaded.autocast:
        for lines in growing(chunks(map(normalize, lines_of(file)), CHUNK)):
            translations = translator.translate(lines)
            split += [number for number, translation in enumerate(translations, seen + 1) if translation.split]
            seen += len(lines)
            yield translations
    if split:
        shown = ", ".join(map(str, split[:3]))
        count = "1 line was" if len(split) == 1 else f"{len(split):,} lines were"
        print(f"warning: {count} too long for the model and translated in parts (first: {shown})", file=sys.stderr)


def growing(chunks: Iterable[list[str]]) -> Iterator[list[str]]:
    """The same lines, the first of them in small chunks, so that nobody waits for long to see the first answers."""
    size = FIRST_CHUNK
    for chunk in chunks:
        rest = chunk
        while rest:
            yield rest[:size]
            rest = rest[size:]
            size = min(4 * size, CHUNK)


def as_text(number: int, translation: Translation) -> Iterator[str]:
    """The best translation."""
    yield translation.text


def as_tsv(number: int, translation: Translation) -> Iterator[str]:
    """Line number, rank, score and text of each translation; tabs within the text become spaces."""
    for rank, hypothesis in enumerate(translation.hypotheses, 1):
        text = hypothesis.text.replace("\t", " ")
        yield f"{number}\t{rank}\t{hypothesis.score:.6f}\t{text}"
    if not translation.hypotheses:
        yield f"{number}\t1\t\t"


def as_jsonl(number: int, translation: Translation) -> Iterator[str]:
    """One object per source line."""
    found = [
        {
            "text": hypothesis.text,
            "score": hypothesis.score,
            "log_prob": hypothesis.log_prob,
            "truncated": not hypothesis.finished,
        }
        for hypothesis in translation.hypotheses
    ]
    entry = {"line": number, "source": translation.source, "translations": found, "split": translation.split}
    yield json.dumps(entry, ensure_ascii=False)


FORMATS = {"text": as_text, "tsv": as_tsv, "jsonl": as_jsonl}
