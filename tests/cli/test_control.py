"""Prefixes, forbidden and required words, terms and ensembles, over a small model and real text."""

from __future__ import annotations

import os
import re
from pathlib import Path
from threading import Thread

import pytest
import torch

from mtcli.checkpoint.restore import Restored, restore
from mtcli.cli.control import Prefixes
from mtcli.cli.model import load
from mtcli.decoding.scorer import score_pairs
from mtcli.decoding.terms import Terms
from mtcli.decoding.translator import Translator
from mtcli.decoding.wishes import Wishes
from mtcli.errors import DataError
from mtcli.layout import Batch
from tests.cli.conftest import SAMPLE, TINY, Mtcli, write
from tests.cli.test_usage import assert_refused

SOURCES = [line for line in (SAMPLE / "test.en").read_text("utf-8").split("\n")[:12] if line]
CPU = torch.device("cpu")
TEXT = "\n".join(SOURCES).encode()


@pytest.fixture
def restored(model: Path) -> Restored:
    """The model, to be used without the command line."""
    return restore(model, CPU)


def translator(restored: Restored, wishes: Wishes, max_source: int = 1024, **changes: object) -> Translator:
    settings = restored.recipe.decoding.model_copy(update=changes)
    made = Translator(restored.model, restored.tokenizer, settings, CPU, wishes)
    made.max_source = max_source
    return made


def texts(mtcli: Mtcli, model: Path, *flags: object, stdin: bytes = TEXT) -> list[str]:
    done = mtcli("translate", "-m", model, *flags, stdin=stdin)
    assert done.code == 0, done.err
    return done.lines


def whole(word: str, text: str) -> bool:
    before, after = (r"(?<!\w)" if word[0].isalnum() else "", r"(?!\w)" if word[-1].isalnum() else "")
    return re.search(before + re.escape(word) + after, text) is not None


@pytest.mark.parametrize("strategy", ["--greedy", "--sample", "--beam-size=3"])
def test_forbidden_words_do_not_occur(strategy: str, mtcli: Mtcli, model: Path, tmp_path: Path) -> None:
    usual = texts(mtcli, model, strategy)
    said = sorted({word for line in usual for word in re.findall(r"\w+|\.", line)})[:8]
    file = write(tmp_path / "words", said[2:])
    without = texts(mtcli, model, strategy, "--forbid", said[0], "--forbid", said[1], "--forbid-file", file)
    assert len(without) == len(usual)
    assert not any(whole(word, line) for word in said for line in without)


def test_required_words_and_terms_are_in_all_translations(mtcli: Mtcli, model: Path, tmp_path: Path) -> None:
    terms = {"The": "Kühlschrank", "The old": "Größe 7", "old": "ß", "man": "Mann", "xyz": "nie"}
    file = write(tmp_path / "terms", [f"{source}\t{target}" for source, target in terms.items()])
    flags = ["--beam-size", 4, "--require", "Donau-Dampfer", "--terms", file]
    sources = ["The old man is here.", "the Old Man", "He is old", "She sees them.", ""]
    lines = texts(mtcli, model, *flags, stdin="\n".join(sources).encode() + b"\n")
    wanted = [["Größe 7", "Mann"], [], ["ß"], [], None]
    for line, words in zip(lines, wanted, strict=True):
        if words is None:
            assert line == ""
            continue
        assert whole("Donau-Dampfer", line)
        assert {word for word in terms.values() if whole(word, line)} >= set(words)
        assert not whole("nie", line)
    (folded,) = texts(mtcli, model, *flags, "--ignore-case", stdin=b"the Old Man")
    assert whole("Größe 7", folded)
    assert whole("Mann", folded)


def test_a_long_word_makes_room_for_itself_and_an_empty_line_needs_none(mtcli: Mtcli, model: Path) -> None:
    long = " ".join(["Kühlschrank"] * 30)
    done = mtcli("translate", "-m", model, "--require", long, stdin=b"No\n\n")
    assert done.code == 0
    assert whole(long, done.lines[0])
    assert done.lines[1] == ""
    assert "required" not in done.err


def test_a_forbidden_word_where_the_parts_of_a_line_meet_is_reported(restored: Restored) -> None:
    line = "This old coat is new. It was there. A big dog runs."
    (translation,) = translator(restored, Wishes(restored.tokenizer), max_source=20).translate([line])
    first, second, *_ = (part.text for part in translation.hypotheses[0].parts)
    joint = f"{first.split()[-1]} {second.split()[0]}"
    wishes = Wishes(restored.tokenizer, [joint])
    (translation,) = translator(restored, wishes, max_source=20).translate([line])
    assert wishes.unwanted(translation.text) == [joint]


@pytest.mark.parametrize("strategy", ["--greedy", "--sample", "--beam-size=3"])
def test_translations_begin_with_their_prefixes(strategy: str, mtcli: Mtcli, model: Path, tmp_path: Path) -> None:
    given = ["Der Hun", "", "Der Mann ", "„Wörter“, d", "Die", "  ", "Ein 1234 😀 x", "D"]
    prefixes = write(tmp_path / "prefixes", given)
    usual = texts(mtcli, model, strategy, stdin="\n".join(SOURCES[:8]).encode())
    lines = texts(mtcli, model, strategy, "--prefixes", prefixes, stdin="\n".join(SOURCES[:8]).encode())
    for prefix, line, free in zip(given, lines, usual, strict=True):
        assert line.startswith(prefix.rstrip())
        if prefix.endswith(" "):
            assert line == prefix.rstrip() or line.startswith(prefix) or not prefix.strip()
        if not prefix.strip():
            assert line == free
    source = write(tmp_path / "source", SOURCES[:8])
    assert texts(mtcli, model, strategy, source, "--prefixes", prefixes, stdin=b"") == lines


def pipe_of(file: Path) -> Path:
    """A pipe with what is in a file, which can be read but once."""
    pipe = file.with_suffix(".pipe")
    os.mkfifo(pipe)
    Thread(target=lambda: pipe.write_bytes(file.read_bytes()), daemon=True).start()
    return pipe


def test_the_lines_to_translate_may_come_from_a_pipe_with_a_name(mtcli: Mtcli, model: Path, tmp_path: Path) -> None:
    prefixes, source = write(tmp_path / "prefixes", ["Der", "Die"]), write(tmp_path / "source", SOURCES[:2])
    expected = texts(mtcli, model, "--greedy", "--prefixes", prefixes, source)
    assert texts(mtcli, model, "--greedy", "--prefixes", prefixes, pipe_of(source)) == expected


def test_prefixes_that_do_not_match_are_refused(mtcli: Mtcli, model: Path, tmp_path: Path) -> None:
    prefixes = write(tmp_path / "prefixes", ["a", "b"])
    source = write(tmp_path / "source", SOURCES[:3])
    done = mtcli("translate", "-m", model, source, "--prefixes", prefixes)
    assert_refused(done, 3)
    assert f"{prefixes} has 2 lines but {source} has 3" in done.err
    done = mtcli("translate", "-m", model, pipe_of(source), "--prefixes", prefixes)
    assert done.code == 3
    assert "has more" in done.err
    for count, difference in ((1, "stdin has 1"), (3, "stdin has more")):
        done = mtcli("translate", "-m", model, "--prefixes", prefixes, stdin="\n".join(SOURCES[:count]).encode())
        assert done.code == 3
        assert f"{prefixes} has 2 lines but {difference}" in done.err


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        (["a\tb", "c"], "line 2 is no pair of terms: 'c'"),
        (["a\tb", "", "a\tc"], "line 3 asks for 'c'"),
        (["a\t "], "line 1"),
    ],
)
def test_a_terminology_that_is_none_is_refused(
    lines: list[str], complaint: str, mtcli: Mtcli, model: Path, tmp_path: Path
) -> None:
    done = mtcli("translate", "-m", model, "--terms", write(tmp_path / "terms", lines))
    assert_refused(done, 3)
    assert complaint in done.err


def test_lines_do_not_depend_on_each_other_under_control(restored: Restored) -> None:
    terms = Terms({"The": "Das Haus", "is": "Katze"})
    wishes = Wishes(restored.tokenizer, ["ist", "ein"], ["Hund"], terms)
    ready = translator(restored, wishes, beam_size=3, no_repeat_ngram=2, min_output_ratio=0.5)
    sources, prefixes = SOURCES[:6], ["Der Hun", "", "Ein "] * 2
    together = [t.text for t in ready.translate(sources, prefixes)]
    pairs = zip(sources, prefixes, strict=True)
    assert together == [ready.translate([line], [prefix])[0].text for line, prefix in pairs]
    assert [t.text for t in ready.translate(sources[::-1], prefixes[::-1])] == together[::-1]


@pytest.mark.parametrize("decoding", ["greedy", "sample", "beam"])
def test_what_is_forced_counts_in_the_log_probability(decoding: str, restored: Restored) -> None:
    wishes = Wishes(restored.tokenizer, ["ist", "der"], ["Donau"] if decoding == "beam" else [])
    ready = translator(restored, wishes, decoding=decoding, no_repeat_ngram=2, min_output_ratio=0.3)
    found = [t.hypotheses[0] for t in ready.translate(SOURCES, ["Das alte H"] * len(SOURCES))]
    sources = restored.tokenizer.encode_source(SOURCES)
    for source, hypothesis in zip(sources, found, strict=True):
        batch = Batch.of([source], [hypothesis.tokens])
        with torch.inference_mode():
            log_probs = restored.model(batch).log_softmax(-1)[0]
        each = log_probs.gather(-1, batch.target_out[0][:, None])[:, 0]
        counted = each if hypothesis.finished else each[:-1]
        assert hypothesis.log_prob == pytest.approx(counted.sum().item(), abs=1e-3)
        assert hypothesis.text.startswith("Das alte H")


def test_long_enough_and_without_repetitions(mtcli: Mtcli, model: Path) -> None:
    flags = ["--greedy", "--min-output-ratio", 1, "--no-repeat-ngram", 1]
    for source, line in zip(SOURCES, texts(mtcli, model, *flags), strict=True):
        pieces = mtcli("tokenizer", "encode", "-m", model, "--ids", stdin=source.encode()).lines[0].split()
        assert len(line) >= len(pieces)  # every piece has a character, and those out are at least those in


def test_a_prefix_that_cannot_be_written_is_named_before_anything_is_translated(
    restored: Restored, tmp_path: Path
) -> None:
    prefixes = Prefixes(write(tmp_path / "prefixes", ["Der", "", "Der alte Mann"]), None)
    wishes = Wishes(restored.tokenizer)
    prefixes.check(wishes, None)
    (tokens,) = restored.tokenizer.encode_target(["Der"])
    with pytest.raises(DataError, match="prefixes line 3: no translation can begin with 'Der alte Mann'"):
        prefixes.check(wishes, len(tokens) + 1)


def test_a_word_must_be_one(mtcli: Mtcli, model: Path) -> None:
    for flag in ("--forbid", "--require"):
        done = mtcli("translate", "-m", model, flag, "\u3000")
        assert_refused(done, 2)
        assert f"{flag} '\\u3000' names no word" in done.err


def test_a_line_in_parts_begins_with_its_prefix_and_has_its_words(restored: Restored) -> None:
    wishes = Wishes(restored.tokenizer, (), ["Katze"], Terms({"coat": "Mantel", "dog": "Hund"}))
    line = "This old coat is new. It was there. A big dog runs."
    (translation,) = translator(restored, wishes, max_source=20).translate([line], ["Nun "])
    assert translation.split
    assert translation.text.startswith("Nun ")
    assert all(whole(word, translation.text) for word in ("Mantel", "Hund", "Katze"))


def test_a_model_with_itself_is_the_model(mtcli: Mtcli, model: Path, corpus: Path) -> None:
    files = [corpus / "test.en", corpus / "test.de"]
    alone = texts(mtcli, model)
    scores = [float(line) for line in mtcli("score", "-m", model, *files).lines]
    for mix in ("linear", "log-linear"):
        twice = ["-m", model, "-m", model, "--ensemble", mix]
        assert mtcli("translate", *twice, stdin=TEXT).lines == alone
        assert [float(line) for line in mtcli("score", *twice, *files).lines] == pytest.approx(scores, abs=1e-4)
    greedy = ["--greedy", *files]
    assert mtcli("eval", *twice, *greedy).out == mtcli("eval", "-m", model, *greedy).out


def test_a_transformer_and_a_recurrent_model_score_what_they_translate(
    mtcli: Mtcli, model: Path, corpus: Path, tmp_path: Path
) -> None:
    same, own = tmp_path / "same", tmp_path / "own"
    same.mkdir()
    checkpoint = next((model / "checkpoints").iterdir())
    (same / "tokenizer.model").write_bytes((checkpoint / "tokenizer.model").read_bytes())
    assert mtcli("tokenizer", "train", corpus / "valid", "-s", "en", "-t", "de", "-o", own).code == 0
    for tokenizer in (same, own):
        data = ["--train", corpus / "train", "--valid", corpus / "valid", *TINY, "-o", f"{tokenizer}-run"]
        kind = ["--tokenizer", tokenizer, "--architecture", "recurrent", "--cross-attention", "bahdanau"]
        done = mtcli("train", *data, *kind, "--max-steps", 8, "--validate-every", 8, "--metric", "loss")
        assert done.code == 0, done.err
    both, flags = [model, tmp_path / "same-run"], {"beam_size": 2, "no_repeat_ngram": 2, "device": "cpu"}
    loaded = load(both, flags, "linear")
    member = loaded.restored
    found = Translator(member.model, member.tokenizer, loaded.decoding, CPU).translate(SOURCES)
    ended = [(t.source, t.hypotheses[0]) for t in found if t.hypotheses[0].finished]
    sources = member.tokenizer.encode_source([source for source, _ in ended])
    scores = score_pairs(member.model, sources, [h.tokens for _, h in ended], 4096, CPU)
    assert scores == pytest.approx([h.log_prob for _, h in ended], abs=1e-3)
    assert len(scores) > 4
    named = [argument for path in both for argument in ("-m", path)]
    lines = mtcli("translate", *named, "--ensemble", "linear", "--beam-size", 2, "--no-repeat-ngram", 2, stdin=TEXT)
    assert lines.lines == [t.text for t in found], lines.err
    done = mtcli("translate", "-m", model, "-m", tmp_path / "own-run", stdin=TEXT)
    assert_refused(done, 4)
    assert str(model) in done.err
    assert str(tmp_path / "own-run") in done.err
