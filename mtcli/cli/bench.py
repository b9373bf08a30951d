"""`mtcli bench`: how fast training and translation are on this machine."""

from __future__ import annotations

import typer

from mtcli.cli import bench_train, bench_translate

app = typer.Typer(help="Measure how fast training and translation are on this machine.", no_args_is_help=True)
app.command("train")(bench_train.train)
app.command("translate")(bench_translate.translate)
