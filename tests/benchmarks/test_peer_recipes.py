"""Recipes of other toolkits for models of another shape."""

from __future__ import annotations

from pathlib import Path

import pytest
from peer_recipes import SIZES, resized

SMALL = {"encoder_layers": 3, "decoder_layers": 3, "model_dim": 256, "feed_forward_dim": 1024, "heads": 4}
LARGE = {"encoder_layers": 6, "decoder_layers": 6, "model_dim": 512, "feed_forward_dim": 2048, "heads": 8}


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    for name, places in SIZES.items():
        path = tmp_path / "scripts" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"before {' and '.join(place.format(**SMALL) for place in places)} after", encoding="utf-8")
    return tmp_path / "scripts"


def test_every_size_is_replaced_where_it_stands(scripts: Path, tmp_path: Path) -> None:
    copy = resized(scripts, SMALL, LARGE, tmp_path)
    for name, places in SIZES.items():
        expected = f"before {' and '.join(place.format(**LARGE) for place in places)} after"
        assert (copy / name).read_text(encoding="utf-8") == expected
        assert (scripts / name).read_text(encoding="utf-8") != expected, "the original stays"


def test_a_script_that_says_something_else_is_refused(scripts: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="does not say"):
        resized(scripts, {**SMALL, "model_dim": 300}, LARGE, tmp_path)
