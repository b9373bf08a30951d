"""`mtcli data`: look at a corpus before training on it, or make one up."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from shlex import quote
from typing import Annotated, Any

import typer

from mtcli import catalog
from mtcli.cli.facts import plain
from mtcli.cli.flags import with_settings
from mtcli.errors import UsageError

app = typer.Typer(help="Look at a corpus before training on it, or make one up.", no_args_is_help=True)


@app.command("check")
@with_settings("data", only=("source_lang", "target_lang", "strict", "valid"))
def check(
    corpora: Annotated[list[str], typer.Argument(help="training corpora, as for mtcli train")],
    typed: dict[str, Any],
    test: Annotated[list[str] | None, typer.Option("--test", help="test corpora")] = None,
    model: Annotated[Path | None, typer.Option("--model", "-m", help="tokenizer or model, to count tokens")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Count what is in a corpus, and warn of what would hurt training or make scores meaningless."""
    from mtcli import recipe as recipes
    from mtcli.cli.tokenizer import opened
    from mtcli.data.check import check
    from mtcli.data.corpus import open_corpora

    data = recipes.resolve({}, typed).data

    def named(names: Any) -> Any:
        return open_corpora(names, data.source_lang, data.target_lang, data.strict)

    tokenizer = opened(model, "source") if model else None
    report = check(named(corpora), named(data.valid), named(test or []), tokenizer)
    if as_json:
        print(json.dumps(report.as_json(), ensure_ascii=False, indent=1))
        return
    counts = report.as_json()
    warnings = counts.pop("warnings")
    for line in table(counts):
        print(line)
    for sentence in warnings:
        print(f"warning: {sentence}", file=sys.stderr)


def table(counts: dict[str, Any]) -> Iterator[str]:
    """One column for each part of the data, one row for each count, and below it what normalisation replaces."""
    columns = {part: dict(rows(found)) for part, found in counts.items()}
    labels = list(dict.fromkeys(label for column in columns.values() for label in column))
    wide = max(map(len, labels))
    yield f"{'':<{wide}}" + "".join(f"{part:>14}" for part in columns)
    for label in labels:
        yield f"{label:<{wide}}" + "".join(f"{plain(column.get(label, '')):>14}" for column in columns.values())
    for part, found in counts.items():
        for lost in found["lost_characters"]:
            yield f"{part}: normalisation replaces {lost['character']} {lost['name']} ({lost['count']:,} times)"


def rows(found: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The counts of one part with their labels."""
    yield "pairs read", found["read"]
    yield "pairs kept", found["kept"]
    for reason, count in dropped(found).items():
        yield f"dropped: {reason}", count
    for name in ("repeated_pairs", "repeated_sources", "copies", "swapped", "long"):
        yield name.replace("_", " "), found[name]
    for share, ratio in found["length_ratio"]["quantiles"].items():
        yield f"target/source characters, {share}", ratio
    yield "ratios off by more than 3x", found["length_ratio"]["outliers"]
    for side in ("source", "target") if "tokens" in found else ():
        for name in ("per_word", "per_character", "longest"):
            yield f"{side} tokens {name.replace('_', ' ')}", found["tokens"][side][name]
    if "tokens" in found:
        yield f"over {found['tokens']['max_length']} tokens", found["tokens"]["too_long"]
    for name, count in found.get("in_training", {}).items():
        yield f"{name} also in training", count


def dropped(found: dict[str, Any]) -> Counter[str]:
    """Reasons and counts over all corpora of one part."""
    total: Counter[str] = Counter()
    for account in found["corpora"].values():
        total.update(account["dropped"])
    return total


@app.command("generate")
@with_settings("data", only=("source_lang", "target_lang"), extra=("seed",))
def generate(
    task: Annotated[str, typer.Argument(help=", ".join(catalog.TASK))],
    output: Annotated[Path, typer.Option("--output", "-o", help="prefix of the two files")],
    typed: dict[str, Any],
    lines: Annotated[int, typer.Option(help="sentence pairs")] = 10_000,
    min_length: Annotated[int, typer.Option(help="symbols of the shortest source")] = 1,
    max_length: Annotated[int, typer.Option(help="symbols of the longest source")] = 20,
    symbols: Annotated[int | None, typer.Option(help="size of the alphabet [default: 10; memory-game: 2]")] = None,
) -> None:
    """Write a made-up corpus that shows what a model can learn: the same for the same seed.

    copy, reverse and sort do so to random rows of symbols. In the memory game a row of a continues with a, but one b
    anywhere before means b.
    """
    from mtcli import recipe as recipes
    from mtcli.data.probes import Probe, write

    recipe = recipes.resolve({}, typed)
    source, target = recipe.data.source_lang or "in", recipe.data.target_lang or "out"
    if source == target:
        raise UsageError(
            f"source and target cannot both be {source!r}: they are two files", "for example: -s in -t out"
        )
    files = [Path(f"{output}.{language}") for language in (source, target)]
    write(Probe(task, min_length, max_length, symbols), lines, recipe.training.seed, *files)
    print(f"wrote {lines:,} pairs to {files[0]} and {files[1]}", file=sys.stderr)
    languages = f"-s {quote(source)} -t {quote(target)}"
    print(f"next: mtcli train --train {quote(str(output))} {languages} --valid ...", file=sys.stderr)
