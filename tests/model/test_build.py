"""What cannot be built is refused with every reason in one message."""

from __future__ import annotations

from typing import Any

import pytest

from mtcli import catalog
from mtcli.errors import UsageError
from mtcli.model.build import build, longest, refuse_impossible
from mtcli.settings import ModelSettings
from tests.laws import models


def refusal(joint: bool = True, **changes: Any) -> tuple[str, ...]:
    with pytest.raises(UsageError) as caught:
        refuse_impossible(ModelSettings(**changes), joint)
    assert caught.value.message == "this model cannot be built"
    return caught.value.details


def test_all_reasons_stand_in_one_message() -> None:
    reasons = refusal(joint=False, model_dim=30, key_value_heads=3)
    assert len(reasons) == 3
    assert "4 heads cannot share a model_dim of 30 evenly" in reasons[0]
    assert "4 heads of queries cannot share 3 heads of keys and values evenly" in reasons[1]
    assert "--tied-embeddings two-way" in reasons[2]


def test_a_setting_that_nothing_reads_is_refused() -> None:
    assert refusal(rank=7) == ("- rank = 7 would change nothing: no part of this model reads it",)


def test_presets_may_state_what_nothing_reads() -> None:
    refuse_impossible(ModelSettings(feed_forward_dim=2048, heads=8, model_dim=512, norm="post"), joint=True)
    recurrent = {"architecture": "recurrent", "cross_attention": "bahdanau"}
    refuse_impossible(models.settings(**recurrent, activation="swiglu", heads=2), joint=True)
    assert "activation = gelu would change nothing" in refusal(**recurrent, activation="gelu")[0]


@pytest.mark.parametrize("settings", [s for s in models.every() if not models.buildable(s)], ids=models.name)
def test_what_cannot_be_built_is_refused_with_sentences(settings: ModelSettings) -> None:
    with pytest.raises(UsageError) as caught:
        build(settings, models.VOCABULARY, models.VOCABULARY, joint=True)
    assert all(reason.startswith("- ") for reason in caught.value.details)
    assert caught.value.details


def test_longest_is_the_limit_of_bounded_parts() -> None:
    for name in catalog.POSITION:
        kind = catalog.load("positions", name)
        assert longest(models.settings(positions=name)) == (models.NARROW["max_positions"] if kind.bounded else None)
