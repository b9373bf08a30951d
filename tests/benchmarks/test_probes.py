"""What is tested is unseen, and chance solves no more than half of it."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import pytest
import torch
from probes import SMALL, VOCABULARY, Lesson, around, held_out, ids, sized, success, trained, unseen
from sizes import parameters, resolved

from mtcli import catalog
from mtcli.layout import EOS


@pytest.mark.parametrize("task", catalog.TASK)
@pytest.mark.parametrize("length", [10, 30, 100])
def test_nothing_that_is_tested_is_learnt(task: str, length: int) -> None:
    tested = unseen(around(task, length), 60, seed=2)
    learnt = [pair for pair in islice(around(task, length).pairs(1), 2000) if not held_out(pair[0])]
    assert len(tested) == 60
    assert not {tuple(source) for source, _ in tested} & {tuple(source) for source, _ in learnt}
    # Both sides know every answer of a task with few.
    if task == "memory-game":
        assert {tuple(target) for _, target in tested} == {tuple(target) for _, target in learnt}
        assert set(Counter(target[0] for _, target in tested).values()) == {30}


def test_every_length_of_the_table_has_both_answers_to_learn_and_to_test() -> None:
    for length in (10, 30, 100, 300, 1000):
        rows = [["a"] * n for n in range(length // 2, length + 1)]
        assert {held_out(row) for row in rows} == {True, False}


def test_tokens_are_those_after_the_special_ones() -> None:
    assert ids(["a", "j"]) == [EOS + 1, VOCABULARY - 1]


def test_a_width_is_chosen_for_the_size_of_the_first() -> None:
    assert sized({}) == resolved(SMALL)
    other = sized({"encoder_layers": 2})
    assert parameters(other, VOCABULARY) == pytest.approx(parameters(resolved(SMALL), VOCABULARY), rel=0.3)


def test_a_transformer_learns_the_memory_game() -> None:
    torch.set_num_threads(1)
    probe = around("memory-game", 8)
    model = trained(sized({}), Lesson("memory-game", updates=60, batch=16, lr=5e-3, seed=1), probe)
    assert success(model, unseen(probe, 40, seed=2)) == 1
