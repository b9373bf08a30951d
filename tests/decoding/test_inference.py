"""Running a model at rest, and batches under a budget."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from mtcli.decoding.inference import at_rest, batches


@pytest.mark.parametrize("training", [True, False])
def test_the_model_returns_to_its_mode_even_after_a_failure(training):
    model = nn.Sequential(nn.Dropout(), nn.Linear(1, 1)).train(training)

    def fail() -> None:
        with at_rest(model):
            assert not model[0].training
            assert not model(torch.ones(1)).requires_grad
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert [m.training for m in model.modules()] == [training] * 3


@given(st.lists(st.integers(1, 50), max_size=40), st.integers(0, 200))
def test_batches_hold_each_place_once_within_the_budget(lengths, budget):
    found = list(batches(lengths, budget))
    assert sorted(place for places in found for place in places) == list(range(len(lengths)))
    assert all(len(places) == 1 or len(places) * max(lengths[i] for i in places) <= budget for places in found)
    longest = [lengths[place] for places in found for place in places]
    assert longest == sorted(lengths, reverse=True)
