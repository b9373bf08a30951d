"""`mtcli translate`: lines in, translations out, in order, each as soon as it is known."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mtcli.cli.control import (
    Control,
    ForbidFileOption,
    ForbidOption,
    IgnoreCaseOption,
    PrefixesOption,
    RequireOption,
    TermsOption,
    read_control,
)
from mtcli.cli.flags import with_settings
from mtcli.cli.model import MACHINE, EnsembleOption, Loaded, ModelsOption, load
from mtcli.errors import UsageError

if TYPE_CHECKING:
    from mtcli.decoding.translator import Translation

CHUNK = 4096
"""Lines of a file that are sorted by length and decoded together."""

FIRST_CHUNK = 64
"""As many of them at first; then four times as many, until it is `CHUNK`."""


@with_settings("decoding", extra=MACHINE)
def translate(
    model: ModelsOption,
    typed: dict[str, Any],
    file: Annotated[
        Path | None, typer.Argument(help="text to translate, one sentence per line [default: stdin]")
    ] = None,
    greedy: Annotated[bool, typer.Option("--greedy", help="short for --decoding greedy")] = False,
    sample: Annotated[bool, typer.Option("--sample", help="short for --decoding sample")] = False,
    format: Annotated[str, typer.Option("--format", help="text, tsv (line, rank, score, text) or jsonl")] = "text",
    ensemble: EnsembleOption = None,
    prefixes: PrefixesOption = None,
    forbid: ForbidOption = None,
    forbid_file: ForbidFileOption = None,
    require: RequireOption = None,
    terms: TermsOption = None,
    ignore_case: IgnoreCaseOption = False,
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
    control = read_control(file, prefixes, forbid, forbid_file, require, terms, ignore_case)
    for translations in translated(load(model, typed, ensemble), file, control):
        for translation in translations:
            for line in write(next(count), translation):
                print(line)
        sys.stdout.flush()


def translated(loaded: Loaded, file: Path | None, control: Control) -> Iterator[list[Translation]]:
    """The translation of every line of the input, in chunks, each as soon as it is known."""
    from mtcli.cli.text import lines_of
    from mtcli.data.normalize import normalize
    from mtcli.decoding.arrivals import chunks
    from mtcli.decoding.translator import Translator

    restored, wishes = loaded.restored, control.wishes(loaded.restored.tokenizer)
    language = restored.recipe.data.target_lang
    translator = Translator(
        restored.model, restored.tokenizer, loaded.decoding, loaded.device, target_lang=language, wishes=wishes
    )
    split: list[int] = []
    lacking: list[int] = []
    seen = 0
    with loaded.autocast:
        for lines in growing(chunks(map(normalize, lines_of(file)), CHUNK)):
            prefixes = control.prefixes.of(seen, len(lines)) if control.prefixes else []
            translations = translator.translate(lines, prefixes)
            if wishes and wishes.require_words:
                lacking += [n for n, t in enumerate(translations, seen + 1) if wishes.lacking(t.source, t.text)]
            split += [number for number, translation in enumerate(translations, seen + 1) if translation.split]
            seen += len(lines)
            yield translations
    if control.prefixes:
        control.prefixes.expect(seen)
    warn(split, "too long for the model and translated in parts")
    warn(lacking, "translated without a required word, for which there was no room")


def warn(lines: list[int], what: str) -> None:
    """Say on stderr what became of some lines, if of any."""
    if lines:
        shown = ", ".join(map(str, lines[:3]))
        count = "1 line was" if len(lines) == 1 else f"{len(lines):,} lines were"
        print(f"warning: {count} {what} (first: {shown})", file=sys.stderr)


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
