"""The shapes that training is compared at, and the arithmetic of their tokens."""

from __future__ import annotations

import pytest
import torch
from shapes import SHAPES, evenly

from mtcli.model.build import build
from mtcli.model.flops import training_flops

MILLIONS = {"small": 7.6, "iwslt": 36.6}
"""Parameters, as the plan of the engine has them."""


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_have_the_size_that_was_planned(name: str) -> None:
    shape = SHAPES[name]
    with torch.device("meta"):
        model = build(shape.recipe().model, shape.pieces, shape.pieces, joint=True)
    assert sum(parameter.numel() for parameter in model.parameters()) / 1e6 == pytest.approx(MILLIONS[name], rel=0.01)
    assert shape.recipe(max_tokens=77).training.max_tokens == 77


@pytest.mark.parametrize("name", SHAPES)
def test_a_token_costs_what_it_costs_in_its_sentence(name: str) -> None:
    shape = SHAPES[name]
    model = shape.recipe().model
    equal = training_flops(model, shape.pieces, [9] * 40, [12] * 40)
    assert shape.flops_per_token({"src": 320, "tgt": 480, "sents": 40}) == equal / 800
    lengths = [3, 5, 10, 11, 16], [7, 4, 12, 12, 25]
    mixed = training_flops(model, shape.pieces, *lengths)
    counted = {"src": sum(lengths[0]) - 5, "tgt": sum(lengths[1]), "sents": 5}
    total = counted["src"] + counted["tgt"]
    assert shape.flops_per_token(counted) == pytest.approx(mixed / total, rel=0.01)
    assert shape.flops_per_token(counted) <= mixed / total


def test_parts_are_as_equal_as_whole_numbers_can_be() -> None:
    for total in range(30):
        for parts in range(1, 9):
            found = evenly(total, parts)
            assert (len(found), sum(found)) == (parts, total)
            assert max(found) - min(found) <= 1
