"""Laws of scoring: `evaluate` is the sacreBLEU command line, figure by figure and signature by signature."""

import json
import os
import random
import subprocess
import sys

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mtcli.catalog import METRIC
from mtcli.errors import DataError, UsageError
from mtcli.evaluation import bleu, chrf, evaluate, ter

DIGITS = 12
METRICS = ["bleu", "chrf", "ter"]


def corpus(seed, lines=40):
    """Random references, and hypotheses that have some of their words, some lines equal and some empty."""
    draw = random.Random(seed)
    words = ["ein", "Hund", "läuft", "über", "das", "Gras", ".", ",", "3,5", '"Ja"', "U-Bahn", "&", "don't", "ß"]
    references = [" ".join(draw.choices(words, k=draw.randint(1, 15))) for _ in range(lines)]
    hypotheses = []
    for reference in references:
        noisy = [word if draw.random() < 0.7 else draw.choice(words) for word in reference.split(" ")]
        hypotheses.append(draw.choice([reference, " ".join(noisy), " ".join(noisy[:-1]), " ".join(noisy), ""]))
    return hypotheses, references


def command_line(directory, hypotheses, references, *options):
    """What `python -m sacrebleu` says: by name of the metric, its fields to `DIGITS` digits."""
    files = []
    for number, lines in enumerate([hypotheses, *references]):
        path = directory / f"{number}.txt"
        path.write_bytes("".join(f"{line}\n" for line in lines).encode())
        files.append(str(path))
    call = [sys.executable, "-m", "sacrebleu", *files[1:], "-i", files[0], "-w", str(DIGITS), *options]
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith("SACREBLEU")}
    done = subprocess.run(call, capture_output=True, check=True, env=surroundings)
    parsed = json.loads(done.stdout)
    return {score["name"]: score for score in (parsed if isinstance(parsed, list) else [parsed])}


def rounded(value):
    return float(f"{value:.{DIGITS}f}")


def assert_same(scores, expected):
    assert {score.name for score in scores} == set(expected)
    for score in scores:
        theirs = expected[score.name]
        assert rounded(score.value) == theirs["score"]
        assert score.signature == theirs["signature"]
        assert score.detail == theirs.get("verbose_score", "")
        if score.interval is None:
            assert "confidence_mean" not in theirs
        else:
            low, high = score.interval
            assert (low + high) / 2 == pytest.approx(theirs["confidence_mean"], abs=1e-11)
            assert (high - low) / 2 == pytest.approx(theirs["confidence_var"], abs=1e-11)


def test_equals_the_command_line(tmp_path):
    hypotheses, references = corpus(1)
    expected = command_line(tmp_path, hypotheses, [references], "-m", *METRICS)
    assert_same(evaluate(hypotheses, [references], METRICS, "de"), expected)


def test_confidence_intervals_equal_the_command_line(tmp_path, monkeypatch):
    monkeypatch.delenv("SACREBLEU_SEED", raising=False)
    hypotheses, references = corpus(2)
    expected = command_line(tmp_path, hypotheses, [references], "-m", *METRICS, "--confidence")
    assert_same(evaluate(hypotheses, [references], METRICS, "de", bootstrap=1000), expected)


def test_lower_case_equals_the_command_line(tmp_path):
    hypotheses, references = corpus(3)
    hypotheses = [line.swapcase() for line in hypotheses]
    expected = command_line(tmp_path, hypotheses, [references], "-m", *METRICS, "-lc", "--chrf-lowercase")
    scores = [measure(hypotheses, [references], "de", lowercase=True) for measure in (bleu, chrf, ter)]
    assert_same(scores, expected)
    assert scores[0].value > bleu(hypotheses, [references], "de").value


def test_chinese_equals_the_command_line_with_its_tokenizer(tmp_path):
    references = ["一只狗在草地上跑。", "两个男人在城里走路。", "她喜欢喝茶，也喜欢咖啡。"]
    hypotheses = ["一只狗在草地上跑步。", "两个男人在走路。", "她喜欢喝茶和 coffee。"]
    expected = command_line(tmp_path, hypotheses, [references], "-m", *METRICS, "-tok", "zh")
    for language in ("zh", "zh-TW", "zh_CN", "ZHO_Hans"):
        assert_same(evaluate(hypotheses, [references], METRICS, language), expected)
    assert bleu(hypotheses, [references], "en").value < expected["BLEU"]["score"]


def test_several_references_and_odd_line_ends_equal_the_command_line(tmp_path):
    hypotheses, first = corpus(4)
    second, _ = corpus(5)
    ends = [" ", "\t ", "\r", "\u2028", "\x85", "\u3000 ", "\x0b", " \x1c", "\u00a0", ""]
    hypotheses = [line + ends[i % len(ends)] for i, line in enumerate(hypotheses)]
    first = [" " + line + ends[(i + 3) % len(ends)] for i, line in enumerate(first)]
    hypotheses[7], first[8] = "a\u2028b\x0cc\x00 [/b] c d", "a\u2028b\x0cc\x00 [/b] c d"
    expected = command_line(tmp_path, hypotheses, [first, second], "-m", *METRICS)
    scores = evaluate(hypotheses, [first, second], METRICS, "en")
    assert_same(scores, expected)
    assert all("nrefs:2" in score.signature for score in scores)


@pytest.mark.parametrize("empty", ["hypotheses", "references", "both"])
def test_only_empty_lines_equal_the_command_line(tmp_path, empty):
    hypotheses, references = corpus(6, lines=3)
    hypotheses = hypotheses if empty == "references" else ["", " ", ""]
    references = references if empty == "hypotheses" else ["", "", ""]
    expected = command_line(tmp_path, hypotheses, [references], "-m", *METRICS)
    assert_same(evaluate(hypotheses, [references], METRICS, "de"), expected)


words = st.text(st.characters(codec="utf-8", categories=("L", "N")), min_size=1, max_size=8)
sentences = st.lists(words, min_size=4, max_size=12).map(" ".join)


@settings(max_examples=50, deadline=None)
@given(st.lists(sentences, min_size=1, max_size=5))
def test_identical_text_is_perfect(lines):
    by_name = {score.name: score.value for score in evaluate(lines, [lines], METRICS, "de")}
    assert by_name == {
        "BLEU": pytest.approx(100, abs=1e-9),
        "chrF2": pytest.approx(100, abs=1e-9),
        "TER": 0,
    }


odd = st.text(st.characters(exclude_characters="\n"), max_size=20)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(odd, odd), min_size=1, max_size=4), st.sampled_from(["de", "zh", "", "tlh"]))
@example([("[/b]", "[b]"), ("\x00", "\u2028"), ("\ud800", "\x85"), ("", "\u0301" * 50)], "de")
def test_any_text_has_finite_scores(pairs, language):
    hypotheses, references = (list(side) for side in zip(*pairs, strict=True))
    for score in evaluate(hypotheses, [references], METRICS, language):
        assert 0 <= score.value < float("inf")
        json.dumps(score.as_json(), allow_nan=False)


@given(st.permutations(METRICS))
@settings(deadline=None)
def test_metrics_keep_their_order(metrics):
    names = {"bleu": "BLEU", "chrf": "chrF2", "ter": "TER"}
    scores = evaluate(["a b c"], [["a b d"]], metrics, "en")
    assert [score.name for score in scores] == [names[metric] for metric in metrics]


def test_every_metric_of_the_catalogue_scores():
    assert len(evaluate(["a"], [["a"]], list(METRIC), "en")) == len(METRIC)


def test_a_score_survives_json():
    score = evaluate(["a b c d e"], [["a b c d f"]], ["bleu"], "en", bootstrap=10)[0]
    restored = json.loads(json.dumps(score.as_json()))
    assert restored.pop("interval") == list(score.interval)
    assert all(getattr(score, name) == value for name, value in restored.items())
    assert "interval" not in restored
    assert len(restored) == 4


@pytest.mark.parametrize("protocol", ["raw", "multi30k-lc"])
def test_unequal_counts_name_both(protocol):
    with pytest.raises(DataError, match="2 hypotheses but 3 references"):
        evaluate(["a", "b"], [["a", "b", "c"]], METRICS, "en", protocol)
    with pytest.raises(DataError, match="1,000 hypotheses but 2 references in reference 2"):
        evaluate(["a"] * 1000, [["a"] * 1000, ["b"] * 2], METRICS, "en", protocol)
    with pytest.raises(DataError, match="1 hypotheses but 0 references"):
        bleu(["a"], [[]], "en")


def test_nothing_to_score_is_an_error():
    for references in ([], [[]], [[], []]):
        with pytest.raises(DataError):
            evaluate([], references, METRICS, "en")


def test_unknown_names_are_usage_errors():
    with pytest.raises(UsageError, match="no metric called 'blue'") as caught:
        evaluate(["a"], [["a"]], ["blue"], "en")
    assert "'bleu'" in caught.value.details[0]
    with pytest.raises(UsageError, match="no protocol called"):
        evaluate(["a"], [["a"]], ["bleu"], "en", protocol="multi30k")
    with pytest.raises(UsageError, match="no tokenizer of BLEU called '13b'"):
        bleu(["a"], [["a"]], "en", tokenize="13b")


@pytest.mark.parametrize("measure", [chrf, ter])
def test_a_tokenizer_that_would_be_ignored_is_refused(measure):
    with pytest.raises(UsageError, match="no choice of tokenizer"):
        measure(["a"], [["a"]], "en", tokenize="13a")


@pytest.mark.parametrize("resamples", [-1, 1])
def test_a_bootstrap_without_an_interval_is_refused(resamples):
    with pytest.raises(UsageError, match="no interval"):
        evaluate(["a"], [["a"]], ["bleu"], "en", bootstrap=resamples)


@pytest.mark.parametrize("language", ["ja", "ko", "ja-JP", "kor"])
def test_missing_mecab_names_the_package(language, monkeypatch):
    short = language[:2]
    monkeypatch.setattr(f"sacrebleu.tokenizers.tokenizer_{short}_mecab.MeCab", None)
    with pytest.raises(UsageError) as caught:
        bleu(["a"], [["a"]], language)
    assert f"sacrebleu[{short}]" in caught.value.details[0]
    assert bleu(["a"], [["a"]], language, tokenize="char").signature.count("tok:char") == 1


def test_importing_evaluation_loads_neither_torch_nor_sacrebleu():
    check = "import sys, mtcli.evaluation; print({'torch', 'sacrebleu', 'sacremoses'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == "set()"
