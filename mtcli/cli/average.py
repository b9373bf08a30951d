"""`mtcli average`: one model whose weights are the mean of several checkpoints."""

from __future__ import annotations

import sys
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from mtcli.errors import UsageError


def average(
    models: Annotated[list[Path], typer.Argument(help="a run, or several checkpoint directories")],
    output: Annotated[Path, typer.Option("--output", "-o", help="directory of the averaged model")],
    last: Annotated[
        int | None, typer.Option("--last", min=1, help="checkpoints of the run to average [default: 5]")
    ] = None,
    best: Annotated[
        int | None,
        typer.Option("--best", min=1, help="checkpoints of the run to average: its best by validation, not its last"),
    ] = None,
) -> None:
    """Average the weights of checkpoints: usually a little better than any of them."""
    from mtcli.checkpoint import average as averaging
    from mtcli.checkpoint import steps, store

    if last and best:
        raise UsageError("--last and --best choose differently", "give one of them")
    if len(models) > 1 and (last or best):
        chosen = "--last" if last else "--best"
        raise UsageError(f"{chosen} chooses among the checkpoints of one run", f"name one run, or leave {chosen} out")
    if len(models) > 1:
        paths = [steps.find(model) for model in models]
    else:
        paths = averaging.best(models[0], best) if best else averaging.last(models[0], last or 5)
    store.write(output, averaging.average(paths))
    print(f"averaged {len(paths)} checkpoints into {output}", file=sys.stderr)
    print(f"next: mtcli eval -m {quote(str(output))} SOURCE REFERENCE", file=sys.stderr)
