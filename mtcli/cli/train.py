"""`mtcli train`: learn to translate from a corpus."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from mtcli.cli.flags import with_settings
from mtcli.errors import UsageError


@with_settings("", "data", "tokenizer", "model", "training", "decoding")
def train(
    typed: dict[str, Any],
    recipe: Annotated[Path | None, typer.Argument(help="a recipe (TOML), such as the recipe.toml of a run")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="directory of the run")] = None,
) -> None:
    """Train a model, or go on where a run in the same directory stopped."""
    if output is None:
        raise UsageError("--output is missing", "for example: -o runs/en-de")
    from mtcli import recipe as recipes
    from mtcli.cli.show import watching
    from mtcli.training.interrupt import listening
    from mtcli.training.plan import Request
    from mtcli.training.run import Watch
    from mtcli.training.train import train

    file = recipes.read(recipe) if recipe else {}
    try:
        with listening(acknowledge) as interrupt, watching() as show:
            outcome = train(Request(file, typed), output, Watch(show, interrupt))
    except KeyboardInterrupt:
        print("stopped at once; the checkpoints written before are whole", file=sys.stderr)
        raise
    show.conclude(outcome, output)


def acknowledge() -> None:
    """Tell that a signal was heard; past Python's buffers, whose locks the interrupted code may hold."""
    with suppress(OSError):
        os.write(2, b"\nstopping after this step and saving; Ctrl-C again stops at once\n")
