"""`mtcli score`: how likely the model finds given translations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mtcli.cli.flags import with_settings
from mtcli.cli.model import MACHINE, ModelOption


@with_settings(extra=(*MACHINE, "batch_tokens"))
def score(
    model: ModelOption,
    source: Annotated[Path, typer.Argument(help="sentences, one per line")],
    target: Annotated[Path, typer.Argument(help="their translations, line by line")],
    typed: dict[str, Any],
) -> None:
    """Print the log-probability of each translation, in nats, its end included, one per line."""
    from mtcli.cli.model import load
    from mtcli.cli.text import both
    from mtcli.data.normalize import normalize
    from mtcli.decoding.scorer import score_pairs

    sources, targets = both(source, target)
    loaded = load(model, typed)
    tokenizer = loaded.restored.tokenizer
    with loaded.autocast:
        scores = score_pairs(
            loaded.restored.model,
            tokenizer.encode_source([normalize(line) for line in sources]),
            tokenizer.encode_target([normalize(line) for line in targets]),
            loaded.decoding.batch_tokens,
            loaded.device,
        )
    for log_prob in scores:
        print(f"{log_prob:.6f}")
