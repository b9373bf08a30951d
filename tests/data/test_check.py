"""What is found in corpora before training, against naive counts."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mtcli.data.census import Census
from mtcli.data.check import Report, check
from mtcli.data.corpus import Corpus, open_corpora

WORD = st.sampled_from(["a", "b", "ab", "ba", "c c", "longer than the others"])
PAIRS = st.lists(st.tuples(WORD, WORD), min_size=1, max_size=30)
FUNCTION_WORDS = (
    "the of and to in a is that for it as was with be by on not he his but at are this have from",
    "der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als auch es an",
)


class Words:
    """A tokenizer that knows words."""

    def encode_source(self, lines):
        assert len(lines) <= 1024
        return [list(range(len(line.split()))) for line in lines]

    def encode_target(self, lines):
        return [tokens * 2 for tokens in self.encode_source(lines)]


def corpora(path: Path, pairs: list[tuple[str, str]]) -> list[Corpus]:
    path.with_suffix(".jsonl").write_text("".join(json.dumps({"source": s, "target": t}) + "\n" for s, t in pairs))
    return open_corpora([str(path.with_suffix(".jsonl"))], "en", "de")


def sentences(count: int, swapped: int = 0) -> list[tuple[str, str]]:
    choose = random.Random(count)
    pairs = [tuple(" ".join(choose.choices(words.split(), k=12)) for words in FUNCTION_WORDS) for _ in range(count)]
    return [(b, a) if number < swapped else (a, b) for number, (a, b) in enumerate(pairs)]


def warned(report: Report, words: str) -> bool:
    return any(words in warning for warning in report.warnings)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(train=PAIRS, test=PAIRS)
def test_counts_equal_naive_ones(tmp_path, train, test):
    report = check(corpora(tmp_path / "train", train), (), corpora(tmp_path / "test", test), Words(), max_length=3)
    found = report.as_json()
    json.dumps(found, allow_nan=False)
    sources, whole = {s for s, _ in train}, set(train)
    assert found["training"]["repeated_pairs"] == len(train) - len(whole)
    assert found["training"]["repeated_sources"] == len(train) - len(sources)
    assert found["training"]["copies"] == sum(s == t for s, t in train)
    assert found["test"]["in_training"] == {
        "sources": sum(s in sources for s, _ in test),
        "pairs": sum(pair in whole for pair in test),
    }
    ratios = sorted(len(t) / len(s) for s, t in train)
    assert abs(found["training"]["length_ratio"]["quantiles"]["100%"] - ratios[-1]) < 1e-3
    middle = (ratios[(len(ratios) - 1) // 2] + ratios[len(ratios) // 2]) / 2
    assert abs(found["training"]["length_ratio"]["quantiles"]["50%"] - middle) < 1e-3
    tokens = found["training"]["tokens"]
    assert tokens["source"]["tokens"] == sum(len(s.split()) for s, _ in train)
    assert tokens["target"]["per_word"] == 2
    assert tokens["too_long"] == sum(max(len(s.split()), 2 * len(t.split())) > 3 for s, t in train)


def test_tokens_are_counted_over_many_blocks(tmp_path):
    report = check(corpora(tmp_path / "train", [("a b", "c")] * 2500), tokenizer=Words())
    assert report.as_json()["training"]["tokens"]["source"]["tokens"] == 5000
    assert "tokens" not in check(corpora(tmp_path / "train", [("a b", "c")])).as_json()["training"]


def test_ratios_far_from_the_median_are_counted(tmp_path):
    pairs = [("x" * 20, "y" * 10)] * 50 + [("x" * 20, "y" * 31), ("x" * 20, "y" * 3), ("x" * 20, "y" * 29)]
    report = check(corpora(tmp_path / "train", pairs))
    assert report.as_json()["training"]["length_ratio"]["outliers"] == 2
    assert warned(report, "length ratio more than 3 times off the median")


def test_characters_that_normalisation_loses_are_named(tmp_path):
    pairs = [("e\u0301 \u00a0x", "\x07a\u2028\ufeff"), ("\x07b", "\ud800 c"), ("\u200c stays", "½")]
    found = check(corpora(tmp_path / "train", pairs)).as_json()["training"]["lost_characters"]
    assert {entry["character"]: (entry["name"], entry["count"]) for entry in found} == {
        "U+0007": ("control character", 2),
        "U+0065": ("LATIN SMALL LETTER E", 1),
        "U+0301": ("COMBINING ACUTE ACCENT", 1),
        "U+FEFF": ("ZERO WIDTH NO-BREAK SPACE", 1),
        "U+D800": ("lone surrogate", 1),
    }
    assert found[0]["character"] == "U+0007"


def test_swapped_sides_are_found_and_right_ones_are_not(tmp_path):
    right = check(corpora(tmp_path / "train", sentences(1000)), corpora(tmp_path / "valid", sentences(50)))
    assert [census.swapped for census in right.parts.values()] == [0, 0]
    assert not warned(right, "swapped")
    wrong = check(corpora(tmp_path / "train", sentences(1000, 30)), corpora(tmp_path / "valid", sentences(50, 50)))
    assert [census.swapped for census in wrong.parts.values()] == [30, 50]
    assert warned(wrong, "50 of 50 validation pairs (100.0%) seem to have source and target swapped")
    few = check(corpora(tmp_path / "train", sentences(100, 30)))
    assert few.parts["training"].swapped == 0


def test_clean_corpora_give_no_warning_and_bad_ones_do(tmp_path):
    clean = sentences(500)
    assert check(corpora(tmp_path / "train", clean), corpora(tmp_path / "valid", sentences(40))).warnings == ()
    copied = check(corpora(tmp_path / "train", [*clean, *[(s, s) for s, _ in clean[:20]]]))
    assert warned(copied, "20 of 520 training pairs (3.8%) have the same text on both sides")
    assert warned(
        check(corpora(tmp_path / "train", clean[:1] * 9)), "8 of 9 training pairs (88.9%) repeat an earlier"
    )
    leaking = check(
        corpora(tmp_path / "train", clean), (), corpora(tmp_path / "test", [*clean[:3], (clean[3][0], "x")])
    )
    assert warned(leaking, "4 of 4 test sources are in the training data, 3 of them with the same translation")
    dropping = check(corpora(tmp_path / "train", [*clean, *[("", "x")] * 10]))
    assert warned(dropping, "10 of 510 training pairs (2.0%) were dropped")
    assert dropping.as_json()["training"]["corpora"][str(tmp_path / "train.jsonl")]["dropped"] == {
        "one side empty": 10
    }


def test_a_census_stores_no_sentence(tmp_path):
    census = check(corpora(tmp_path / "train", sentences(300))).parts["training"]
    assert isinstance(census, Census)
    stored = Counter(
        {name: value.itemsize * len(value) for name, value in vars(census).items() if hasattr(value, "itemsize")}
    )
    assert stored.total() == 20 * census.kept
    assert all(type(value) is not list or not value for value in vars(census).values())
