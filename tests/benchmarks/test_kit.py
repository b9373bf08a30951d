"""What the table of the quality kit is made from."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from kit import Trial, flags, from_log, rows
from kit_parts import PARTS, Part, typed

NONE, PART = Part("none"), Part("R-Drop 5", ("--r-drop", "5"))


def figures(bleu: float, minutes: float = 1.0) -> dict[str, float]:
    averages = {f"test BLEU, mean of the {which} 5": bleu + 1 for which in ("last", "best")}
    validation = {"validation loss": 2.0, "validation BLEU": bleu - 1}
    return {"minutes": minutes, "epochs": 3, **validation, "test BLEU": bleu, **averages, "test chrF2": 50.0}


def test_a_row_has_means_and_the_difference_with_each_seed() -> None:
    results = {
        Trial(NONE, 1): figures(30.0),
        Trial(NONE, 2): figures(32.0),
        Trial(PART, 1): figures(33.0, 2.0),
        Trial(PART, 2): figures(31.0, 4.0),
    }
    plain, other = rows(results)
    assert (plain["test BLEU"], plain["more than none, by seed"]) == ("31.00", "")
    assert (other["test BLEU"], other["seeds"], other["minutes"]) == ("32.00", 2, "3.0")
    assert other["more than none, by seed"] == "+3.00, -1.00"
    assert other["BLEU, mean of the last 5"] == "33.00"


def test_a_seed_that_the_first_part_lacks_has_no_difference() -> None:
    results = {Trial(NONE, 1): figures(30.0), Trial(PART, 1): figures(31.0), Trial(PART, 2): figures(40.0)}
    assert rows(results)[1]["more than none, by seed"] == "+1.00"


def test_all_parts_train_alike_but_for_their_flags() -> None:
    args = argparse.Namespace(
        train=Path("t"), valid=Path("v"), work=Path("w"), source_lang="a", target_lang="b", steps=100, flags=["--x"]
    )
    plain = flags(Trial(NONE, 1), args)
    for part in PARTS:
        found = flags(Trial(part, 1), args)
        if part.twice:
            assert found == ["200" if word == "100" else word for word in plain]
        elif "--schedule" not in part.flags:
            assert found == [*plain[:-2], *part.flags, *plain[-2:]]
        else:
            assert found.count("--schedule") == 1
    assert len({part.folder for part in PARTS}) == len(PARTS)


def test_a_part_is_typed_as_its_name_and_flags() -> None:
    assert typed("high rate: --lr 1e-2 --clip 0") == Part("high rate", ("--lr", "1e-2", "--clip", "0"))
    assert typed("none") == NONE


def test_a_run_is_judged_by_its_best_validations() -> None:
    events = [
        {"event": "steps", "step": 50, "seconds": 60.0, "epoch": 1},
        {"event": "validation", "step": 50, "loss": 3.0, "scores": {"BLEU": {"value": 4.0}}},
        {"event": "steps", "step": 100, "seconds": 120.0, "epoch": 2},
        {"event": "validation", "step": 100, "loss": 3.5, "scores": {"BLEU": {"value": 5.0}}},
    ]
    found = from_log("".join(json.dumps(event) + "\n" for event in events))
    assert found == {"minutes": 2.0, "steps": 100, "epochs": 2, "validation loss": 3.0, "validation BLEU": 5.0}
