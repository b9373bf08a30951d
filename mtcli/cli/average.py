"""`mtcli average`: one model whose weights are the mean of several checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def average(
    models: Annotated[list[Path], typer.Argument(help="a run, or several checkpoint directories")],
    output: Annotated[Path, typer.Option("--output", "-o", help="directory of the averaged model")],
    last: Annotated[int, typer.Option("--last", min=1, help="checkpoints of the run to average")] = 5,
) -> None:
    """Average the weights of checkpoints: usually a little better than any of them."""
    from mtcli.checkpoint import average as averaging
    from mtcli.checkpoint import store

    paths = averaging.last(models[0], last) if len(models) == 1 else models
    store.write(output, averaging.average(paths))
    print(f"averaged {len(paths)} checkpoints into {output}")
    print(f"next: mtcli eval -m {output} SOURCE REFERENCE")
