"""Models as large as each other."""

from __future__ import annotations

import pytest
from sizes import GRAIN, fitted, obstacle, parameters, resolved

SMALL = {"encoder_layers": 1, "decoder_layers": 1, "model_dim": 16, "feed_forward_dim": 32, "heads": 2}
PIECES = 30


@pytest.mark.parametrize("width", ["model_dim", "feed_forward_dim"])
@pytest.mark.parametrize("target", [1, 5_000, 20_000])
def test_no_other_width_comes_nearer(width: str, target: int) -> None:
    settings = resolved(SMALL)

    def distance(value: int) -> int:
        return abs(parameters(settings.model_copy(update={width: value}), PIECES) - target)

    found = fitted(settings, PIECES, width, target)
    assert found == min(range(GRAIN, 20 * GRAIN if width == "model_dim" else 100 * GRAIN, GRAIN), key=distance)


def test_parameters_are_counted_as_on_paper() -> None:
    m, f = 16, 32
    attention, feed_forward, norm = 4 * (m * m + m), 2 * m * f + f + m, 2 * m
    encoder = attention + feed_forward + 2 * norm
    decoder = 2 * attention + feed_forward + 3 * norm
    assert parameters(resolved(SMALL), PIECES) == PIECES * m + encoder + decoder + 2 * norm


def test_what_cannot_be_built_says_why() -> None:
    assert obstacle(SMALL, PIECES) is None
    assert "3 heads cannot share" in (obstacle({**SMALL, "heads": 3}, PIECES) or "")
    assert "nowhere" in (obstacle({**SMALL, "positions": "nowhere"}, PIECES) or "")
