"""A command line that cannot be meant ends in one sentence and exit code 2, never in a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from mtcli.model.transformer import Transformer
from tests.cli.conftest import Done, Mtcli

WRONG = {
    "translate": "missing option '--model'",
    "trane": "did you mean 'train'",
    "--wrong": "no such option: --wrong",
    "translate -m MODEL --beem-size 3": "or --beam-size?",
    "train -o NEW --vocab-sise 3": "--vocab-size",
    "train -o NEW --preset smal": "did you mean 'small'?",
    "train -o NEW --norm past": "did you mean 'post'?",
    "train": "--output is missing",
    "train NOWHERE/recipe.toml -o NEW": "there is no recipe file",
    "train -o NEW": "--train is missing",
    "train -o NEW --train x --valid y -s en -t de --heads 3 --model-dim 32 --preset tiny": "heads",
    "translate -m MODEL --beam-size x": "--beam-size",
    "translate -m MODEL --beam-size 0": "greater than or equal to 1",
    "translate -m MODEL --decoding bem": "did you mean 'beam'?",
    "translate -m MODEL --format xml": "choose one of: text, tsv, jsonl",
    "translate -m MODEL --device tpu": "tpu",
    "translate -m MODEL --precision fp8": "choose fp32, bf16, fp16, int8 or auto",
    "score -m MODEL CORPUS/test.en CORPUS/test.de --precision double": "there is no precision 'double'",
    "eval -m MODEL CORPUS/test.en CORPUS/test.de --precision 8": "there is no precision '8'",
    "translate -m MODEL --workers -1": "--workers",
    "translate -m MODEL --greedy --sample": "contradict",
    "translate -m MODEL --greedy --decoding beam": "contradict",
    "translate -m MODEL --greedy --top-k 5": "--top-k means nothing in greedy decoding",
    "translate -m MODEL --greedy --beam-size 3": "--beam-size means nothing in greedy decoding",
    "translate -m MODEL --temperature 0.5": "--temperature means nothing in beam decoding",
    "translate -m MODEL --beam-size 4 --top-k 10": "--top-k means nothing in beam decoding",
    "translate -m MODEL --sample --beam-size 3": "--beam-size means nothing in sample decoding",
    "translate -m MODEL --greedy --length-penalty 2": "--length-penalty means nothing in greedy decoding",
    "translate -m MODEL --greedy --coverage-penalty 0.2": "--coverage-penalty means nothing in greedy decoding",
    "translate -m MODEL --coverage-penalty -1": "greater than or equal to 0",
    "train -o NEW --train x --valid y -s en -t de --preset tiny --cross-attention linformer"
    " --coverage-penalty 1": "needs weights of source tokens",
    "train -o NEW --train x --valid y -s en -t de --preset tiny --architecture recurrent --cross-attention none"
    " --decoding greedy --validation-decoding beam --coverage-penalty 1": "needs weights of source tokens",
    "translate -m MODEL --mbr-samples 3": "choose --decoding mbr",
    "translate -m MODEL --decoding mbr --mbr-utility blue": "did you mean 'bleu'?",
    "translate -m MODEL --decoding mbr --n-best 20 --format tsv": "--mbr-samples of at least 20",
    "translate -m MODEL --diversity-groups 2": "cannot be divided into 2 groups",
    "translate -m MODEL --diversity-strength 2": "give --diversity-groups too",
    "translate -m MODEL --length-normalization none --length-penalty 2": "--length-penalty means nothing with",
    "translate -m MODEL --n-best 9 --beam-size 4 --format tsv": "--beam-size of at least 9",
    "translate -m MODEL --length-normalization log": "'average', 'gnmt' or 'none'",
    "translate -m MODEL --sample --min-p 2": "less than or equal to 1",
    "eval -m MODEL CORPUS/test.en CORPUS/test.de --beam-size 4 --top-k 10": "--top-k means nothing in beam decoding",
    "train -o NEW --train x --valid y -s en -t de --preset tiny --diversity-groups 2": "divided into 2 groups",
    "train -o NEW --train x --valid y -s en -t de --preset tiny --decoding greedy --diversity-groups 2"
    " --validation-decoding beam": "divided into 2 groups",
    "translate -m MODEL --n-best 3": "--format tsv or jsonl",
    "translate -m MODEL --n-best 6 --format tsv": "--beam-size of at least 6",
    "translate -m MODEL --n-best 2 --greedy --format tsv": "one translation",
    "translate -m MODEL --ensemble linear": "--ensemble means nothing with one model",
    "translate -m MODEL -m MODEL --ensemble liner": "did you mean 'linear'?",
    "translate -m MODEL --greedy --require Hund": "need beam search, not greedy decoding",
    "translate -m MODEL --sample --require Hund": "need beam search, not sample decoding",
    "translate -m MODEL --require Hund --forbid Hund": "'Hund' is required, but 'Hund' is forbidden",
    "translate -m MODEL --ignore-case": "--ignore-case means nothing without --terms",
    "translate -m MODEL --prefixes -": "only one of the files can be stdin",
    "translate -m MODEL --min-output-ratio 3": "--min-output-ratio 3 is more than --max-output-ratio 1",
    "eval -i CORPUS/test.de CORPUS/test.de --ensemble linear": "--ensemble means nothing without a model",
    "eval a b": "either a model with -m or translations with -i",
    "eval -m MODEL -i a b": "either a model with -m or translations with -i",
    "eval -i CORPUS/test.de CORPUS/test.de b": "2 files were given instead of 1",
    "eval -i CORPUS/test.de CORPUS/test.de --beam-size 3": "--beam-size means nothing without a model",
    "eval -i CORPUS/test.de CORPUS/test.de --precision bf16": "--precision means nothing without a model",
    "eval -i CORPUS/test.de CORPUS/test.de --workers 2": "--workers means nothing without a model",
    "eval -m MODEL CORPUS/test.en CORPUS/test.de --n-best 3": "--n-best means nothing here",
    "eval -m MODEL CORPUS/test.en CORPUS/test.de --metrics blue": "did you mean 'bleu'?",
    "eval -i CORPUS/test.de CORPUS/test.de --metrics blue": "did you mean 'bleu'?",
    "score -m MODEL - -": "only one of the two files can be stdin",
    "bench translate -m MODEL": "missing argument",
    "bench translate CORPUS/test.en": "missing option '--model'",
    "bench translate -m MODEL CORPUS/test.en --repeats 0": "--repeats",
    "bench translate -m MODEL CORPUS/test.en --latency-lines -1": "--latency-lines",
    "bench translate -m MODEL CORPUS/test.en --greedy --decoding beam": "contradict",
    "bench translate -m MODEL CORPUS/test.en --greedy --beam-size 3": "--beam-size means nothing in greedy decoding",
    "bench translate -m MODEL CORPUS/test.en --ensemble linear": "--ensemble means nothing with one model",
    "bench translate -m MODEL CORPUS/test.en --precision int4": "there is no precision 'int4'",
    "bench train --preset smal": "did you mean 'small'?",
    "bench train --preset tiny --seconds -1": "--seconds",
    "bench train --preset tiny -o NEW": "no such option: -o",
    "bench train --preset tiny --heads 3": "heads",
    "bench train NOWHERE/recipe.toml": "there is no recipe file",
    "bench train --preset tiny --train CORPUS/train": "-s and -t",
    "average MODEL MODEL --last 2 -o NEW": "--last",
    "average MODEL --last 0 -o NEW": "--last",
    "tokenizer train CORPUS/train -o NEW": "the languages are missing",
    "tokenizer train CORPUS/train -s en -t de -o NEW --vocab-size 20": "too small for this text",
    "tokenizer encode -m MODEL --side left": "there is no side 'left'",
    "data check CORPUS/train": "-s and -t",
    "data generate": "missing argument",
    "data generate copy": "missing option '--output'",
    "data generate revers -o NEW": "did you mean 'reverse'?",
    "data generate copy -o NEW --lines 0": "at least 1 line, not 0",
    "data generate copy -o NEW --lines many": "--lines",
    "data generate copy -o NEW --min-length 0": "at least 1 symbol, not 0",
    "data generate copy -o NEW --max-length -3": "the longest sentence, -3, is shorter than the shortest, 1",
    "data generate copy -o NEW --symbols 27": "2 to 26 symbols, not 27",
    "data generate memory-game -o NEW --symbols 5": "memory-game has 2 symbols, not 5",
    "data generate copy -o NEW --seed -1": "seed",
    "data generate copy -o NEW -s x -t x": "they are two files",
}


@pytest.mark.parametrize("line", WRONG)
def test_it_says_what_is_wrong(line: str, mtcli: Mtcli, model: Path, corpus: Path, tmp_path: Path) -> None:
    places = {"MODEL": model, "CORPUS": corpus, "NEW": tmp_path / "new", "NOWHERE": tmp_path / "nowhere"}
    filled = line
    for name, path in places.items():
        filled = filled.replace(name, str(path))
    done = mtcli(*filled.split())
    assert_refused(done, 2)
    assert WRONG[line] in done.err
    assert not (tmp_path / "new" / "checkpoints").exists()


def test_a_model_without_weights_cannot_be_asked_what_it_covers(
    mtcli: Mtcli, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Transformer, "supports_attention", False)
    done = mtcli("translate", "-m", model, "--coverage-penalty", 0.2, "--temperature", 2, stdin=b"Hello\n")
    assert_refused(done, 2)
    assert "--coverage-penalty needs weights of source tokens, which this model does not have" in done.err
    assert "--temperature means nothing in beam decoding" in done.err


def assert_refused(done: Done, code: int) -> None:
    """One sentence without a full stop, then indented details; nothing on stdout."""
    assert done.code == code, done.err
    assert done.out == ""
    complaint = done.err[done.err.rindex("error: ") :].rstrip("\n").split("\n")
    assert not complaint[0].endswith(".")
    assert all(line.startswith("  ") for line in complaint[1:])
    assert "Traceback" not in done.err


@pytest.mark.parametrize("group", [[], ["tokenizer"], ["data"], ["bench"]])
def test_without_a_verb_it_shows_the_help(group: list[str], mtcli: Mtcli) -> None:
    done = mtcli(*group)
    assert done.code == 2
    assert done.err.startswith("Usage: mtcli")
    assert "error:" not in done.err


def test_the_version_needs_no_verb(mtcli: Mtcli) -> None:
    done = mtcli("--version")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("mtcli ")


def test_a_recipe_with_an_unknown_setting_names_the_nearest(mtcli: Mtcli, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("[training]\nmax_step = 3\n", encoding="utf-8")
    done = mtcli("train", recipe, "-o", tmp_path / "new")
    assert_refused(done, 2)
    assert "max_steps" in done.err


def test_a_recipe_that_is_no_toml_is_named(mtcli: Mtcli, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_bytes(b"\xff = [")
    done = mtcli("train", recipe, "-o", tmp_path / "new")
    assert_refused(done, 2)
    assert str(recipe) in done.err
