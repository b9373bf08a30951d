"""`mtcli train`: learn to translate from a corpus."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from mtcli.cli.flags import with_settings
from mtcli.errors import UsageError, UserError


@with_settings("", "data", "tokenizer", "model", "training", "decoding")
def train(
    typed: dict[str, Any],
    context: typer.Context,
    recipe: Annotated[Path | None, typer.Argument(help="a recipe (TOML), such as the recipe.toml of a run")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="directory of the run")] = None,
    gpus: Annotated[
        int, typer.Option(min=1, help="processes that train together on this machine, each on a GPU of its own")
    ] = 1,
) -> None:
    """Train a model, or go on where a run in the same directory stopped."""
    if output is None:
        raise UsageError("--output is missing", "for example: -o runs/en-de")
    if gpus > 1 and "WORLD_SIZE" not in os.environ:
        from mtcli.cli.launch import launch

        raise typer.Exit(launch(gpus, context.obj))
    from mtcli import recipe as recipes
    from mtcli.cli.show import watching
    from mtcli.training.distributed import joined
    from mtcli.training.interrupt import listening
    from mtcli.training.observer import Nobody
    from mtcli.training.plan import Request
    from mtcli.training.run import Watch
    from mtcli.training.train import train

    with joined() as ranks:
        try:
            request = Request(recipes.read(recipe) if recipe else {}, typed)
            if not ranks.first:
                with listening() as interrupt:
                    train(request, output, Watch(Nobody(), interrupt), ranks)
                return
            with listening(acknowledge) as interrupt, watching() as show:
                outcome = train(request, output, Watch(show, interrupt), ranks)
            show.conclude(outcome, output)
        except UserError as error:
            if ranks.tells(error):
                raise
            raise typer.Exit(error.exit_code) from error
        except KeyboardInterrupt:
            if ranks.first:
                print("stopped at once; the checkpoints written before are whole", file=sys.stderr)
            raise


def acknowledge() -> None:
    """Tell that a signal was heard; past Python's buffers, whose locks the interrupted code may hold."""
    with suppress(OSError):
        os.write(2, b"\nstopping after this step and saving; Ctrl-C again stops at once\n")
