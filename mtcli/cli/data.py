"""`mtcli data`: look at a corpus before training on it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from mtcli.cli.facts import lines
from mtcli.cli.flags import with_settings

app = typer.Typer(help="Look at a corpus before training on it.", no_args_is_help=True)


@app.callback()
def root() -> None:
    """Look at a corpus before training on it."""


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
    for line in lines(counts):
        print(line)
    for sentence in warnings:
        print(f"warning: {sentence}", file=sys.stderr)
