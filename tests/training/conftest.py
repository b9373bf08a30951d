"""The corpus, the cache and the uninterrupted run that the tests of training share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mtcli.training import run as runs
from tests.training import tiny
from tests.training.tiny import Trained


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Encoded corpora are kept away from the user's own."""
    with pytest.MonkeyPatch.context() as patch:
        place = tmp_path_factory.mktemp("cache")
        patch.setenv("MTCLI_CACHE", str(place))
        yield place


@pytest.fixture(scope="session", autouse=True)
def every_step_is_shown() -> Iterator[None]:
    """The observer hears of every step, not of one a second: only so can a test act at a chosen one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "REPORT_SECONDS", 0.0)
        yield


@pytest.fixture(scope="session")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place with `train`, `valid` and a tokenizer."""
    place = tmp_path_factory.mktemp("corpora")
    tiny.write_corpora(place)
    return place


@pytest.fixture(scope="session")
def whole(corpora: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Twenty steps without a stop."""
    return tiny.run(tiny.wishes(corpora), tmp_path_factory.mktemp("whole") / "run")
