"""What has to be said of translations on stderr, when all of them are there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mtcli.cli.tally import Tally

if TYPE_CHECKING:
    from mtcli.decoding.translator import Translation
    from mtcli.decoding.wishes import Wishes


class Remarks:
    """Counts of the lines whose translation is not all that was asked for."""

    def __init__(self, wishes: Wishes | None = None) -> None:
        self.wishes = wishes
        self.split, self.cut, self.lacking, self.forbidden = Tally(), Tally(), Tally(), Tally()

    def add(self, number: int, translation: Translation) -> None:
        """Count what is true of a line; of an empty one nothing is."""
        self.split.add(number, translation.split)
        self.cut.add(number, translation.truncated)
        if self.wishes and translation.parts:
            self.lacking.add(number, self.wishes.lacking(translation.source, translation.text))
            self.forbidden.add(number, self.wishes.unwanted(translation.text))

    def warn(self) -> None:
        """Say it."""
        self.split.warn("too long for the model and translated in parts", "was", "were")
        self.cut.warn("translated only up to the limit that --max-output-ratio or the model sets", "was", "were")
        why = "for which the model has no room, or whose source term was cut in two"
        self.lacking.warn(f"translated without a required word, {why}", "was", "were")
        brought = "which a prefix, or parts of a line side by side, brought in"
        self.forbidden.warn(f"translated with a forbidden word, {brought}", "was", "were")
