"""How a training run is shown to people: a live line on a terminal, plain lines elsewhere; all of it on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, TextIO, cast

from rich.console import Console
from rich.live import Live
from rich.text import Text

from mtcli.cli.streams import silence

if TYPE_CHECKING:
    from mtcli.training.observer import Standing, Validation
    from mtcli.training.train import Outcome

PLAIN_SECONDS = 30.0
"""Away from a terminal, the run's standing is printed this often."""


class Show:
    """An `Observer` that writes to a console. Corpus text goes through `Text`, never through Rich's markup."""

    def __init__(self, console: Console, live: Live | None) -> None:
        self.console = console
        self.live = live
        self.printed = time.monotonic()
        self.tail = ""

    def say(self, sentence: str) -> None:
        """Something to know."""
        self.console.print(Text(sentence))

    def warn(self, sentence: str) -> None:
        """Something to worry about."""
        self.console.print(Text(f"warning: {sentence}", style="yellow"))

    def stand(self, standing: Standing) -> None:
        """Some steps were taken."""
        line = Text(f"{describe(standing)}{self.tail}", overflow="ellipsis", no_wrap=True)
        if self.live:
            self.live.update(line)
        elif time.monotonic() - self.printed >= PLAIN_SECONDS:
            self.printed = time.monotonic()
            self.console.print(line)

    def validated(self, validation: Validation, best: bool, patience: int | None) -> None:
        """A validation ended."""
        figures = "  ".join(f"{score.name} {score.value:.2f}" for score in validation.scores)
        note = "  new best" if best else ""
        self.say(f"validation: loss {validation.loss:.3f}  {figures}  ({validation.seconds:.0f} s){note}")
        for sample in validation.samples:
            for label, text in (
                ("source", sample.source),
                ("expected", sample.reference),
                ("translated", sample.translation),
            ):
                self.console.print(Text.assemble((f"  {label:>10} ", "dim"), text))
        value = f"  last {validation.scores[0].name} {validation.scores[0].value:.2f}" if validation.scores else ""
        self.tail = value + ("" if patience is None else f"  patience {patience}")

    def saved(self, path: Path) -> None:
        """A checkpoint is on disk; the live line has more important things to say."""

    def conclude(self, outcome: Outcome, run: Path) -> None:
        """What came out, by the scores of the best checkpoint, and what to type next."""
        from mtcli.checkpoint.store import SCORES, decoded

        figures = decoded(outcome.best / SCORES).get("scores", {})
        lines = [
            f"finished: {outcome.reason}",
            f"best checkpoint: {outcome.best}",
            *(f"{score['name']} {score['value']:.2f}  {score['signature']}" for score in figures.values()),
            "next:",
            f"  echo 'a sentence' | mtcli translate -m {quote(str(run))}",
            f"  mtcli eval -m {quote(str(run))} SOURCE REFERENCE",
            f"  mtcli info {quote(str(run))}",
        ]
        for line in lines:
            self.say(line)


def describe(standing: Standing) -> str:
    """One line: where the run stands."""
    left = "" if standing.remaining is None else f"  {duration(standing.remaining)} left"
    skipped = f"  {standing.skipped} skipped" if standing.skipped else ""
    halved = f" (halved {standing.rate_halvings}x)" if standing.rate_halvings else ""
    return (
        f"step {standing.step:,}  epoch {standing.epoch}  loss {standing.loss:.3f}  lr {standing.lr:.1e}{halved}  "
        f"{standing.tokens_per_second:,.0f} tokens/s  {duration(standing.seconds)}{left}{skipped}"
    )


def duration(seconds: float) -> str:
    """Seconds as h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


@contextmanager
def watching() -> Iterator[Show]:
    """A show on stderr, with a live line where there is a terminal that can redraw it."""
    console = Console(file=cast(TextIO, Lasting(sys.stderr)), highlight=False, soft_wrap=True)
    if not console.is_terminal or console.is_dumb_terminal:
        yield Show(console, None)
        return
    with Live(Text(""), console=console, refresh_per_second=2, transient=True) as live:
        yield Show(console, live)


class Lasting:
    """A stream whose reader may go away or whose disk may fill up: hours of training must not end for that."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write, or be silent from now on."""
        try:
            return self.stream.write(text)
        except OSError:
            silence(self.stream)
            return len(text)

    def flush(self) -> None:
        """Flush, or be silent from now on."""
        try:
            self.stream.flush()
        except OSError:
            silence(self.stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)
