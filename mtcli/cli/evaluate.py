"""`mtcli eval`: translate and score, or score a file of translations."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mtcli.cli.flags import with_settings
from mtcli.cli.model import MACHINE, MODELS, EnsembleOption, Loaded, PrecisionOption, WorkersOption, load
from mtcli.cli.remarks import Remarks
from mtcli.errors import UsageError

if TYPE_CHECKING:
    from mtcli.evaluation import Score

Measure = Callable[[list[str], list[str], str], list["Score"]]
"""From translations, references and their language to scores."""

ONE_FILE = "for example: mtcli eval -m runs/en-de test.en test.de, or: mtcli eval -i translations.txt test.de"


@with_settings("decoding", extra=(*MACHINE, "target_lang"))
def evaluate(
    files: Annotated[list[Path], typer.Argument(help="SOURCE REFERENCE with -m, REFERENCE with -i")],
    typed: dict[str, Any],
    model: Annotated[list[Path] | None, typer.Option("--model", "-m", help=MODELS)] = None,
    ensemble: EnsembleOption = None,
    precision: PrecisionOption = "fp32",
    workers: WorkersOption = 0,
    hypotheses: Annotated[Path | None, typer.Option("--input", "-i", help="translations to score")] = None,
    metrics: Annotated[list[str] | None, typer.Option("--metrics", help="bleu, chrf or ter; repeatable")] = None,
    protocol: Annotated[str, typer.Option(help="raw, or multi30k-lc to compare with papers")] = "raw",
    bootstrap: Annotated[int, typer.Option(help="resamplings for confidence intervals; 0: none")] = 0,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="write the translations here")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Score translations with sacreBLEU, always with the signature that reproduces the figure."""
    from mtcli.cli.text import refuse_overwriting
    from mtcli.evaluation import evaluate

    if bool(model) == (hypotheses is not None):
        raise UsageError("give either a model with -m or translations with -i", ONE_FILE)
    for name, chosen in (("ensemble", ensemble), ("precision", precision != "fp32"), ("workers", workers)):
        if chosen and not model:
            raise UsageError(f"--{name} means nothing without a model", ONE_FILE)
    if len(files) != (2 if model else 1):
        raise UsageError(f"{len(files)} files were given instead of {2 if model else 1}", ONE_FILE)

    def measure(texts: list[str], references: list[str], language: str) -> list[Score]:
        wanted = metrics or ["bleu", "chrf"]
        return evaluate(texts, [references], wanted, language, protocol=protocol, bootstrap=bootstrap)

    refuse_overwriting(output, hypotheses, *files)
    with output.open("w", encoding="utf-8", newline="\n") if output else nullcontext() as file:
        if model:
            loader = partial(load, model, ensemble=ensemble, precision=precision, workers=workers)
            texts, references, language = translated(loader, files, typed, measure)
        else:
            texts, references, language = read(hypotheses, files[0], typed)
        if file:
            file.writelines(f"{text}\n" for text in texts)
    show(measure(texts, references, language), as_json)


def translated(
    loader: Callable[[dict[str, Any]], Loaded], files: list[Path], typed: dict[str, Any], measure: Measure
) -> tuple[list[str], list[str], str]:
    """Translations of the source, the references, and the language they are in."""
    from mtcli.cli.text import both
    from mtcli.data.normalize import normalize
    from mtcli.decoding.translator import Translator

    if typed.get("n_best", 1) > 1:
        raise UsageError("--n-best means nothing here: the best translation of each sentence is scored")
    sources, references = both(*files)
    loaded = loader({name: value for name, value in typed.items() if name != "target_lang"})
    language = typed.get("target_lang", loaded.restored.recipe.data.target_lang)
    measure(["a"], ["a"], language)  # a metric that does not exist is better found now than after an hour
    restored = loaded.restored
    parts = restored.model, restored.tokenizer, loaded.decoding, loaded.device
    with Translator(*parts, target_lang=language, workers=loaded.workers) as translator:
        results = translator.translate([normalize(line) for line in sources])
    remarks = Remarks()
    for number, result in enumerate(results, 1):
        remarks.add(number, result)
    remarks.warn()
    return [result.text for result in results], references, language


def read(hypotheses: Path | None, reference: Path, typed: dict[str, Any]) -> tuple[list[str], list[str], str]:
    """Translations from a file, the references, and the language they are in."""
    from mtcli.cli.text import both

    ignored = typed.keys() - {"target_lang"}
    if ignored or hypotheses is None:
        raise UsageError(f"--{min(ignored).replace('_', '-')} means nothing without a model", ONE_FILE)
    texts, references = both(hypotheses, reference)
    return texts, references, typed.get("target_lang", "")


def show(scores: list[Score], as_json: bool) -> None:
    """Print figures and signatures."""
    if as_json:
        json.dump([score.as_json() for score in scores], sys.stdout, ensure_ascii=False, indent=1)
        print()
        return
    for score in scores:
        interval = f"  [{score.interval[0]:.2f}, {score.interval[1]:.2f}]" if score.interval else ""
        print(f"{score.name} {score.value:.2f}{interval}  {score.detail}".rstrip())
        print(f"  {score.signature}")
