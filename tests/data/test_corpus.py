"""Laws of corpora: every pair is accounted for, whatever the format and however damaged the files."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mtcli.data.corpus import Account, Corpus, SentencePair, open_corpora
from mtcli.data.normalize import normalize
from mtcli.data.rows import Place
from mtcli.errors import DataError, UsageError

COMPRESS = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}
LINE = st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=20)
overwriting = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def written(folder: Path, source: bytes, target: bytes, suffix: str = "") -> str:
    for language, text in (("en", source), ("de", target)):
        (folder / f"train.{language}{suffix}").write_bytes(COMPRESS[suffix](text))
    return str(folder / "train")


def opened(name: str, strict: bool = False, languages: tuple[str, str] = ("en", "de")) -> Corpus:
    (corpus,) = open_corpora([name], *languages, strict=strict)
    return corpus


def read(name: str, **how) -> tuple[list[SentencePair], Account]:
    account = Account()
    return list(opened(name, **how).pairs(account)), account


def balanced(account: Account, pairs: list[SentencePair]) -> bool:
    return account.kept == len(pairs) and account.read == account.kept + account.dropped.total()


@overwriting
@given(rows=st.lists(st.tuples(LINE, LINE), min_size=1), suffix=st.sampled_from(sorted(COMPRESS)))
def test_parallel_lines_come_back_normalised_with_an_exact_account(tmp_path, rows, suffix):
    expected = [SentencePair(s, t) for s, t in ((normalize(a), normalize(b)) for a, b in rows) if s and t]
    sides = ("".join(f"{row[side]}\n" for row in rows).encode() for side in (0, 1))
    for old in tmp_path.iterdir():
        old.unlink()
    name, account = written(tmp_path, *sides, suffix), Account()
    try:
        pairs = list(opened(name).pairs(account))
    except DataError as error:
        assert not expected or "UTF-16" in str(error)  # noqa: PT017
        return
    assert pairs == expected
    assert balanced(account, pairs)
    assert account.read == len(rows)


@overwriting
@given(source=st.binary(), target=st.binary(), strict=st.booleans())
@example(b"a\xff\nb\n", b"a\nb\n", False)
def test_any_bytes_in_two_files_give_balanced_pairs_or_a_data_error(tmp_path, source, target, strict):
    name, account, count = written(tmp_path, source, target), Account(), 0
    try:
        for pair in opened(name, strict).pairs(account):
            assert pair.source == normalize(pair.source) != ""
            count += 1
    except DataError as error:
        assert error.exit_code == 3  # noqa: PT017
    assert account.kept == count
    assert account.read == account.kept + account.dropped.total()


@overwriting
@given(
    data=st.binary() | st.lists(st.binary(max_size=9), max_size=9).map(b"\t".join),
    suffix=st.sampled_from([f"{kind}{end}" for kind in (".tsv", ".jsonl") for end in COMPRESS]),
    packed=st.booleans(),
)
def test_any_bytes_in_one_file_give_balanced_pairs_or_a_data_error(tmp_path, data, suffix, packed):
    path = tmp_path / f"any{suffix}"
    path.write_bytes(COMPRESS[path.suffix if path.suffix in COMPRESS else ""](data) if packed else data)
    try:
        pairs, account = read(str(path))
    except DataError:
        return
    assert balanced(account, pairs)
    assert account.read == data.count(b"\n") + (not data.endswith(b"\n"))


JSON_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["translation", "en", "de", "source", "target", "x"]), inner)
    ),
)


@overwriting
@given(values=st.lists(JSON_VALUE, min_size=1, max_size=5))
@example([{"source": "a\ud800", "target": "\udfffb"}])
@example([{"translation": {"en": "a", "de": None}}, {"en": "a", "de": "b"}])
def test_any_json_gives_balanced_pairs_or_a_data_error(tmp_path, values):
    path = tmp_path / "any.jsonl"
    path.write_text("".join(json.dumps(value) + "\n" for value in values))
    try:
        pairs, account = read(str(path))
    except DataError:
        return
    assert balanced(account, pairs)
    assert account.read == len(values)
    "".join(pair.source + pair.target for pair in pairs).encode()


def test_unequal_line_counts_are_refused_when_opening(tmp_path):
    name = written(tmp_path, b"a\n" * 1500, b"b\n" * 1499)
    with pytest.raises(DataError) as caught:
        opened(name)
    assert caught.value.exit_code == 3
    assert caught.value.message == f"{name}.de has 1,499 lines but {name}.en has 1,500"


def test_a_lost_line_is_located_by_the_lengths_of_lines(tmp_path):
    lengths = [5 + number * 7919 % 90 for number in range(1000)]
    source = [b"x" * length for length in lengths]
    target = [b"y" * (length * 6 // 5) for length in lengths]
    del target[417]
    name = written(tmp_path, b"\n".join(source), b"\n".join(target))
    with pytest.raises(DataError, match=r"these part near line 41[789]$"):
        opened(name)


def test_files_that_have_nothing_to_do_with_each_other_get_no_guess(tmp_path):
    source = [b"x" * (5 + number * 7919 % 90) for number in range(1000)]
    target = [b"y" * (5 + number * 104729 % 97) for number in range(990)]
    with pytest.raises(DataError) as caught:
        opened(written(tmp_path, b"\n".join(source), b"\n".join(target)))
    assert "near line" not in str(caught.value)


def test_other_line_ends_and_marks_on_one_side_change_nothing(tmp_path):
    plain, _ = read(written(tmp_path, b"a\nb\n", b"c\nd\n"))
    assert read(written(tmp_path, b"\xef\xbb\xbfa\r\nb\r\n", b"c\nd"))[0] == plain
    text = "c\u2028c\x85c\x0bc\x0cc\x1cc\n"
    assert read(written(tmp_path, b"a\n", text.encode()))[0] == [SentencePair("a", "c c c c c c")]


def test_hostile_lines_are_text(tmp_path):
    long = "word " * (1 << 18)
    lines = ["[/b] [bold] \x1b[31m", long, "</script>", "e" + "\u0301" * 10_000]
    text = "".join(f"{line}\n" for line in lines).encode()
    pairs, account = read(written(tmp_path, text, text))
    assert [pair.source for pair in pairs] == [normalize(line) for line in lines]
    assert str(account) == "4 read = 4 kept + 0 dropped"


def test_drops_are_counted_and_the_first_three_located(tmp_path):
    name = written(tmp_path, b"a\n" + b"b\xff\n" * 5 + b"\n\n \nx\n", b"a\n" + b"b\n" * 5 + b"\nx\n\xc2\xa0\nx\n")
    pairs, account = read(name)
    assert [pair.place for pair in pairs] == [Place(f"{name}.en", 1), Place(f"{name}.en", 10)]
    assert str(account) == "10 read = 2 kept + 8 dropped (5 invalid UTF-8, 2 empty, 1 one side empty)"
    assert [str(example) for example in account.examples] == [
        *(f"{name}.en line {number}, byte 2: invalid UTF-8" for number in (2, 3, 4)),
        f"{name}.en line 7: empty",
        f"{name}.en line 8: one side empty",
        f"{name}.en line 9: empty",
    ]
    account.withdraw("too long", pairs[0].place)
    assert str(account).startswith("10 read = 1 kept + 9 dropped")
    json.dumps(account.as_json())


def test_nothing_can_be_withdrawn_that_was_not_kept():
    with pytest.raises(ValueError, match="kept"):
        Account().withdraw("too long")


def test_strict_reading_refuses_what_it_cannot_read(tmp_path):
    name = written(tmp_path, b"a\nb\n", b"a\nb\xff\n")
    with pytest.raises(DataError, match=r"train\.de line 2, byte 2: invalid UTF-8"):
        read(name, strict=True)
    (tmp_path / "x.tsv").write_bytes(b"a\tb\na\tb\tc\n")
    with pytest.raises(DataError, match=r"x\.tsv line 2: not 2 columns \(it has 3\)"):
        read(str(tmp_path / "x.tsv"), strict=True)
    assert len(read(str(tmp_path / "x.tsv"))[0]) == 1


@pytest.mark.parametrize(
    ("suffix", "content", "reason"),
    [
        (".tsv", b"", "is empty"),
        (".tsv", b"\n\n", r"no sentence pair in 2 lines \(2 empty\)"),
        (".tsv", b"one column\n", "it has 1"),
        (
            ".jsonl",
            b"{\n[" + b"[" * 100_000 + b"\n" + b"9" * 5000 + b"\n",
            r"2 not JSON, 1 no sentence pair|3 not JSON",
        ),
        (".jsonl", b'{"translation": {"fr": "a", "en": "b"}}\n', "it has fr, en"),
        (".jsonl", b'{"source": "a", "target": 3}\n', "source and target are not both text"),
    ],
)
def test_a_corpus_without_a_pair_is_an_error_that_says_why(tmp_path, suffix, content, reason):
    path = tmp_path / f"x{suffix}"
    path.write_bytes(content)
    with pytest.raises(DataError, match=reason):
        read(str(path))


@pytest.mark.parametrize(
    "record",
    [{"translation": {"de": "b", "en": "a"}}, {"source": "a", "target": "b"}, {"en": "a", "de": "b", "id": 3}],
)
@pytest.mark.parametrize("suffix", COMPRESS)
def test_every_shape_of_json_is_read(tmp_path, record, suffix):
    path = tmp_path / f"x.jsonl{suffix}"
    path.write_bytes(COMPRESS[suffix](json.dumps(record).encode()))
    assert read(str(path))[0] == [SentencePair("a", "b")]


def test_quotation_marks_in_tsv_are_text_and_the_first_line_is_no_header(tmp_path):
    path = tmp_path / "x.tsv"
    path.write_bytes(b'source\ttarget\r\n"a\tb"\r\n')
    assert read(str(path))[0] == [SentencePair("source", "target"), SentencePair('"a', 'b"')]


def test_the_fingerprint_follows_content_languages_and_strictness(tmp_path):
    path = tmp_path / "x.jsonl"
    record = {"en": "a", "de": "b", "fr": "c"}
    path.write_text(json.dumps(record))
    first = opened(str(path)).fingerprint()
    assert first == opened(str(path)).fingerprint()
    others = [opened(str(path), strict=True), opened(str(path), languages=("en", "fr"))]
    moved = {first, *(other.fingerprint() for other in others)}
    path.write_text(json.dumps({**record, "en": "A"}))
    assert len({*moved, opened(str(path)).fingerprint()}) == 4
    one = opened(written(tmp_path, b"ab\n", b"c\n")).fingerprint()
    assert one != opened(written(tmp_path, b"a\n", b"bc\n")).fingerprint()


def test_what_is_missing_is_named_with_what_is_near(tmp_path):
    name = written(tmp_path, b"a\n", b"b\n")
    (tmp_path / "test.tsv").write_bytes(b"a\tb\n")
    for wrong, languages, said in (
        ("trian", ("en", "de"), f"looked for .*trian.en and .*trian.de.*\n.*did you mean {name}?"),
        ("tets.tsv", ("en", "de"), "there is no file .*\n.*test.tsv"),
        ("train.en", ("en", "de"), f"named without the language: {name}"),
        ("train", ("en", "fr"), "train.fr is missing beside .*train.en"),
        ("train", ("cs", "fr"), "ending in: de, en"),
        ("nowhere/train", ("en", "de"), "there is no directory"),
        ("a\0b", ("en", "de"), "there is no corpus"),
    ):
        with pytest.raises(DataError, match=said):
            opened(str(tmp_path / wrong), languages=languages)
    with pytest.raises(UsageError, match="needs languages"):
        opened(name, languages=("", ""))
    with pytest.raises(UsageError, match="same file"):
        opened(name, languages=("en", "en"))


def test_a_damaged_archive_is_refused_when_opening(tmp_path):
    name = written(tmp_path, b"a\n" * 1000, b"b\n" * 1000, ".gz")
    path = tmp_path / "train.de.gz"
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(DataError, match=r"train\.de\.gz is damaged after 1,000 lines"):
        opened(name)


def test_reading_twice_gives_the_same_and_stopping_early_counts_what_was_read(tmp_path):
    corpus = opened(written(tmp_path, b"a\nb\nc\n", b"d\ne\nf\n"))
    assert list(corpus.pairs(Account())) == list(corpus.pairs(Account()))
    account = Account()
    next(corpus.pairs(account))
    assert (account.read, account.kept) == (1, 1)
