"""The trained model that keeps its promises or not, as `mtcli translate` uses it, and how a promise fared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mtcli.cli.model import load
from mtcli.data.normalize import normalize
from mtcli.decoding.scorer import score_pairs
from mtcli.decoding.translator import Translation, Translator
from mtcli.decoding.wishes import Wishes

SCORED_TOGETHER = 4096
"""Tokens in a batch of pairs that are scored."""


@dataclass
class Promise:
    """What was promised of some translations, and which of them break it."""

    name: str
    lines: int
    seconds: float = 0.0
    broken: list[dict[str, Any]] = field(default_factory=list)
    """What is known of each violation."""
    unasked: int | None = None
    """How many of the same lines break it where nobody asks for it: what there was to do."""
    off: list[float] = field(default_factory=list)
    """How far the log-probability reported of each translation is from the one that scoring it gives."""


class Subject:
    """A model, and real sentences with their references."""

    def __init__(self, run: Path, precision: str, source: Path, target: Path, lines: int) -> None:
        self.loaded = load([run], {"device": "cpu", "threads": 1}, precision=precision, workers=1)
        self.tokenizer = self.loaded.restored.tokenizer
        pairs = [pair for pair in zip(read(source), read(target), strict=True) if all(pair)][:lines]
        self.sources, self.references = [source for source, _ in pairs], [target for _, target in pairs]

    def translate(
        self,
        lines: Sequence[str],
        changes: dict[str, Any],
        wishes: Wishes | None = None,
        prefixes: Sequence[str] = (),
        workers: int = 1,
    ) -> list[Translation]:
        """The translations with the run's own settings for decoding, but for the `changes`."""
        settings = self.loaded.decoding.model_copy(update=changes)
        restored = self.loaded.restored
        parts = restored.model, self.tokenizer, settings, self.loaded.device
        with Translator(*parts, wishes, restored.recipe.data.target_lang, workers) as translator:
            return translator.translate(lines, prefixes)

    def off(self, translations: Sequence[Translation]) -> list[float]:
        """How far the log-probability of each line's best translation is from its score; of ended ones only."""
        found = [each for each in translations if not (each.truncated or each.split)]
        best = [each.hypotheses[0] for each in found]
        sources = [each.parts[0].tokens for each in found]
        pairs = sources, [h.tokens for h in best]
        scored = score_pairs(self.loaded.restored.model, *pairs, SCORED_TOGETHER, self.loaded.device)
        return [abs(h.log_prob - score) for h, score in zip(best, scored, strict=True)]


def read(path: Path) -> list[str]:
    """The lines of a file as translation sees them."""
    return [normalize(line) for line in path.read_text(encoding="utf-8").rstrip("\n").split("\n")]
