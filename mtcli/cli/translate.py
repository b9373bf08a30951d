"""`mtcli translate`: lines in, translations out, in order, each as soon as it is known."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
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
from mtcli.cli.formats import DETAILED, FORMATS
from mtcli.cli.model import MACHINE, EnsembleOption, Loaded, ModelsOption, PrecisionOption, WorkersOption
from mtcli.cli.remarks import Remarks
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
    alignments: Annotated[
        Path | None,
        typer.Option(help="write here which source word each word looks at, as 0-0 1-2 ..., line by line"),
    ] = None,
    precision: PrecisionOption = "fp32",
    workers: WorkersOption = 0,
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
    from mtcli.cli.model import load
    from mtcli.cli.text import refuse_overwriting
    from mtcli.decoding.alignment import pharaoh
    from mtcli.decoding.evidence import Examiner, best_links

    refuse_overwriting(alignments, file, prefixes, forbid_file, terms)
    control = read_control(file, prefixes, forbid, forbid_file, require, terms, ignore_case)
    loaded = load(model, typed, ensemble, precision, workers)
    restored = loaded.restored
    if alignments and not restored.model.supports_attention:
        kind = restored.recipe.model.cross_attention
        raise UsageError(f"--alignments needs weights of source words, which cross-attention {kind!r} does not have")
    examiner = Examiner(restored.model, restored.tokenizer, loaded.decoding.batch_tokens, loaded.device)
    write, count = FORMATS[format], itertools.count(1)
    with alignments.open("w", encoding="utf-8") if alignments else nullcontext() as aligned:
        for translations in translated(loaded, file, control):
            evidence = examiner.evidence(translations) if format in DETAILED else []
            if aligned:
                found = best_links(evidence) if evidence else examiner.alignments(translations)
                aligned.writelines(f"{pharaoh(links)}\n" for links in found)
                aligned.flush()
            for line in write(count, translations, evidence):
                print(line)
            sys.stdout.flush()


def translated(loaded: Loaded, file: Path | None, control: Control) -> Iterator[list[Translation]]:
    """The translation of every line of the input, in chunks, each as soon as it is known."""
    from mtcli.cli.text import lines_of
    from mtcli.data.normalize import normalize
    from mtcli.decoding.arrivals import chunks
    from mtcli.decoding.translator import Translator

    restored, wishes = loaded.restored, control.wishes(loaded.restored.tokenizer)
    if wishes and control.prefixes:
        control.prefixes.check(wishes, restored.model.longest_target)
    language = restored.recipe.data.target_lang
    parts = restored.model, restored.tokenizer, loaded.decoding, loaded.device
    remarks, seen = Remarks(wishes), 0
    with Translator(*parts, wishes, language, loaded.workers) as translator:
        for lines in growing(chunks(map(normalize, lines_of(file)), CHUNK)):
            prefixes = control.prefixes.of(seen, len(lines)) if control.prefixes else []
            translations = translator.translate(lines, prefixes)
            for number, translation in enumerate(translations, seen + 1):
                remarks.add(number, translation)
            seen += len(lines)
            yield translations
    remarks.warn()
    if control.prefixes:
        control.prefixes.expect(seen)


def growing(chunks: Iterable[list[str]]) -> Iterator[list[str]]:
    """The same lines, the first of them in small chunks, so that nobody waits for long to see the first answers."""
    size = FIRST_CHUNK
    for chunk in chunks:
        rest = chunk
        while rest:
            yield rest[:size]
            rest = rest[size:]
            size = min(4 * size, CHUNK)
