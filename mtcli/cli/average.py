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
) -> None:
    """Average the weights of checkpoints: usually a little better than any of them."""
    from mtcli.checkpoint import average as averaging
    from mtcli.checkpoint import steps, store

    if len(models) == 1:
        paths = averaging.last(models[0], last or 5)
    elif last is None:
        paths = [steps.find(model) for model in models]
    else:
        raise UsageError("--last chooses among the checkpoints of one run", "name one run, or leave --last out")
    store.write(output, averaging.average(paths))
    print(f"averaged {len(paths)} checkpoints into {output}", file=sys.stderr)
    print(f"next: mtcli eval -m {quote(str(output))} SOURCE REFERENCE", file=sys.stderr)
