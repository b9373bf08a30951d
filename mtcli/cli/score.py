"""`mtcli score`: how likely the model finds given translations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mtcli.cli.flags import with_settings
from mtcli.cli.model import MACHINE, EnsembleOption, ModelsOption, PrecisionOption, load
from mtcli.errors import DataError

LONGEST = 4096
"""Tokens of a side; attention takes memory for the square of them."""


@with_settings(extra=(*MACHINE, "batch_tokens"))
def score(
    model: ModelsOption,
    source: Annotated[Path, typer.Argument(help="sentences, one per line")],
    target: Annotated[Path, typer.Argument(help="their translations, line by line")],
    typed: dict[str, Any],
    ensemble: EnsembleOption = None,
    precision: PrecisionOption = "fp32",
) -> None:
    """Print the log-probability of each translation, in nats, its end included, one per line."""
    from mtcli.cli.text import both
    from mtcli.data.normalize import normalize
    from mtcli.decoding.scorer import score_pairs

    sources, targets = both(source, target)
    loaded = load(model, typed, ensemble, precision)
    tokenizer = loaded.restored.tokenizer
    pairs = (
        tokenizer.encode_source([normalize(line) for line in sources]),
        tokenizer.encode_target([normalize(line) for line in targets]),
    )
    refuse_endless(pairs, (loaded.restored.model.longest_source, loaded.restored.model.longest_target))
    scores = score_pairs(loaded.restored.model, *pairs, loaded.decoding.batch_tokens, loaded.device)
    for log_prob in scores:
        print(f"{log_prob:.6f}")


def refuse_endless(pairs: tuple[list[list[int]], list[list[int]]], held: tuple[int | None, int | None]) -> None:
    """Raise `DataError` for a line that is more than the model holds, EOS included, or would take gigabytes.

    Unlike a translation, a score cannot be had in parts.
    """
    for side, limit in zip(pairs, held, strict=True):
        most = min(LONGEST, limit - 1 if limit else LONGEST)
        for number, tokens in enumerate(side, 1):
            if len(tokens) > most:
                raise DataError(
                    f"line {number:,} has {len(tokens):,} tokens, more than the {most:,} that can be scored",
                    "is it more than a sentence? leave it out of both files",
                )
