"""Data sets in local directories, read through the Hugging Face library."""

from __future__ import annotations

import builtins
import json

import pytest

from mtcli.data.corpus import Account, SentencePair, open_corpora
from mtcli.data.huggingface import parse
from mtcli.errors import DataError, UsageError

datasets = pytest.importorskip("datasets")
PAIRS = [("Hello.", "Hallo."), ("Two\u2028lines", "Zwei\nZeilen"), ("", "leer")]
EXPECTED = [SentencePair("Hello.", "Hallo."), SentencePair("Two lines", "Zwei Zeilen")]


def read(name: str) -> tuple[list[SentencePair], Account]:
    account = Account()
    (corpus,) = open_corpora([name], "en", "de")
    return list(corpus.pairs(account)), account


def columns(source: str, target: str) -> dict[str, list[str]]:
    return {source: [pair[0] for pair in PAIRS], target: [pair[1] for pair in PAIRS]}


@pytest.mark.parametrize("names", [("en", "de"), ("source", "target")])
def test_parquet_with_two_columns(tmp_path, names):
    datasets.Dataset.from_dict(columns(*names)).to_parquet(str(tmp_path / "train.parquet"))
    pairs, account = read(f"hf:{tmp_path}")
    assert pairs == EXPECTED
    assert str(account) == "3 read = 2 kept + 1 dropped (1 one side empty)"


def test_parquet_with_a_translation_and_another_split(tmp_path):
    features = datasets.Features({"translation": datasets.Translation(["de", "en"])})
    rows = {"translation": [{"en": source, "de": target} for source, target in PAIRS]}
    dataset = datasets.Dataset.from_dict(rows, features=features)
    dataset.to_parquet(str(tmp_path / "validation.parquet"))
    assert read(f"hf:{tmp_path}@validation")[0] == EXPECTED
    with pytest.raises(DataError, match=r"cannot be loaded(.|\n)*validation"):
        read(f"hf:{tmp_path}")


@pytest.mark.parametrize("nested", [True, False])
def test_json_lines(tmp_path, nested):
    rows = [{"en": source, "de": target} for source, target in PAIRS]
    lines = [json.dumps({"translation": row} if nested else row) for row in rows]
    (tmp_path / "train.jsonl").write_text("\n".join(lines))
    assert read(f"hf:{tmp_path}")[0] == EXPECTED


def test_a_saved_data_set(tmp_path):
    datasets.DatasetDict({"train": datasets.Dataset.from_dict(columns("en", "de"))}).save_to_disk(
        str(tmp_path / "a@b:c")
    )
    assert read(f"hf:{tmp_path}/a@b:c")[0] == EXPECTED


def test_the_fingerprint_follows_the_text(tmp_path):
    prints = set()
    for text in ("a", "b", "a"):
        (tmp_path / "train.jsonl").write_text(json.dumps({"en": text, "de": "c"}))
        (corpus,) = open_corpora([f"hf:{tmp_path}"], "en", "de")
        prints.add(corpus.fingerprint())
    assert len(prints) == 2


def test_what_cannot_be_read_is_an_error_that_says_why(tmp_path):
    with pytest.raises(DataError, match="cannot be loaded"):
        read(f"hf:{tmp_path}")
    (tmp_path / "train.jsonl").write_text('{"en": "a", "fr": "b"}\n')
    with pytest.raises(DataError, match="it has en, fr"):
        read(f"hf:{tmp_path}")
    (tmp_path / "train.jsonl").write_text('{"en": "a", "de": "b"}\nnot JSON\n')
    with pytest.raises(DataError, match=r"cannot be (read|loaded)"):
        read(f"hf:{tmp_path}")


def test_a_hub_that_cannot_be_reached_is_said(monkeypatch):
    def unreachable(*_, **__):
        raise ConnectionError("Couldn't reach the hub")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    with pytest.raises(
        DataError, match=r"hf:some/name cannot be loaded\n  Couldn't reach the hub\n  some/name is neither"
    ):
        read("hf:some/name")


def test_a_missing_library_is_said_with_what_to_type(monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **more):
        if name == "datasets":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match=r"pip install 'mtcli-nmt\[hf\]'"):
        read("hf:some/name")


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("hf:wmt/wmt14", ("wmt/wmt14", None, "train")),
        ("hf:wmt/wmt14:de-en", ("wmt/wmt14", "de-en", "train")),
        ("hf:wmt/wmt14:de-en@validation", ("wmt/wmt14", "de-en", "validation")),
        ("hf:wmt/wmt14@test[:100]", ("wmt/wmt14", None, "test[:100]")),
    ],
)
def test_names_have_a_configuration_and_a_split(name, parts):
    assert parse(name) == parts


@pytest.mark.parametrize("name", ["hf:", "hf:@train", "hf:name@", "hf:name:", "hf::config"])
def test_names_that_name_nothing_are_refused(name):
    with pytest.raises(UsageError, match="does not name a data set"):
        parse(name)
