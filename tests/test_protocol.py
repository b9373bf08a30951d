"""Laws of the protocols: `multi30k-lc` makes the published reference files, by the rules that Moses documents."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtcli.catalog import PROTOCOL, load
from mtcli.errors import UsageError
from mtcli.evaluation import evaluate
from mtcli.protocol import MULTI30K_LANGUAGES, moses_lowercased, multi30k_lc

CORPORA = Path(os.environ.get("MTCLI_CORPORA", Path(__file__).resolve().parents[2] / "shared" / "corpora"))
MULTI30K = CORPORA / "multi30k"

needs_corpora = pytest.mark.skipif(not MULTI30K.is_dir(), reason="no Multi30k beside the checkout")
needs_moses = pytest.mark.skipif(importlib.util.find_spec("sacremoses") is None, reason="no sacremoses")


def lines(name):
    return (MULTI30K / name).read_bytes().decode().removesuffix("\n").split("\n")


@pytest.mark.corpora
@needs_corpora
@needs_moses
def test_makes_the_published_reference():
    prepared = multi30k_lc.prepare(lines("test_2016_flickr.de"), "de")
    assert prepared == lines("test_2016_flickr.lc.norm.tok.de")
    assert sum(len(line.split()) for line in prepared) == 12_103


# Words from the README of github.com/multi30k/dataset; characters, line ends included, of its files data/task1/tok.
@pytest.mark.corpora
@needs_corpora
@needs_moses
@pytest.mark.parametrize(
    ("name", "words", "characters"),
    [
        ("test_2016_flickr.de", 12_103, 70_777),
        ("test_2016_flickr.en", 12_968, 63_307),
        ("val.de", 12_828, 76_011),
        ("val.en", 13_308, 64_608),
        pytest.param("train.de", 360_706, 2_116_499, marks=pytest.mark.slow),
        pytest.param("train.en", 377_534, 1_837_696, marks=pytest.mark.slow),
    ],
)
def test_has_the_size_of_the_published_files(name, words, characters):
    prepared = multi30k_lc.prepare(lines(name), name[-2:])
    assert sum(len(line.split()) for line in prepared) == words
    assert sum(len(line) + 1 for line in prepared) == characters


@needs_moses
@pytest.mark.parametrize(
    ("language", "line", "expected"),
    [
        # full stop and comma are tokens, but a comma inside a number is not
        ("de", "Ein Mann, ein Hund.", "ein mann , ein hund ."),
        ("de", "Es sind 3,5 Meter, 1,", "es sind 3,5 meter , 1 ,"),
        ("en", "A,b,c", "a , b , c"),
        # hyphens stay, since -a was not given
        ("de", "Ein T-Shirt der US-Band", "ein t-shirt der us-band"),
        # quotes of every kind become straight, and are escaped
        ("de", 'Das „gute“ «Ding» "hier"', "das &quot; gute &quot; &quot; ding &quot; &quot; hier &quot;"),
        ("de", "Levi‘s und Levi’s", "levi &apos; s und levi &apos; s"),
        # a lone ’ is a double quote in Moses
        ("de", "Hook ’em", "hook &quot; em"),
        # German puts the full stop after the closing quote, at the end of a line too; English before it
        ("de", 'Er sagt "Ja."', "er sagt &quot; ja &quot; ."),
        ("en", 'He says "yes".', "he says &quot; yes . &quot;"),
        # apostrophes: English splits before, French after, German on both sides
        ("en", "The dog's toy isn't Kids' stuff", "the dog &apos;s toy isn &apos;t kids &apos; stuff"),
        ("fr", "L'homme d'or", "l&apos; homme d&apos; or"),
        ("de", "Kids' Korb", "kids &apos; korb"),
        # XML and Moses' own characters are escaped
        ("en", "a & b | <c> [/b]", "a &amp; b &#124; &lt; c &gt; &#91; / b &#93;"),
        # several full stops are one token; before a lower-case word one stays, since lower-casing came first
        ("de", "Nun ... ja.", "nun ... ja ."),
        ("de", "Die Firma e.s.e. Electronics", "die firma e.s.e. electronics"),
        # a number before a full stop is an ordinal in German, and no abbreviation in English
        ("de", "Die Nummer 10.", "die nummer 10."),
        ("en", "The number 10.", "the number 10 ."),
        # Moses splits a last .' only at the very end, and cleans no spaces after it
        ("en", "A motorcycle .'", "a motorcycle  . &apos; "),
        # dashes, ellipsis, brackets, odd spaces
        ("en", "one – two … (three)", "one - two ... ( three )"),
        ("de", "  zwei\t Leerzeichen\u00a0 \u2028 x ", "zwei leerzeichen x"),
        ("cs", "Muž a žena, Praha.", "muž a žena , praha ."),
        ("de", "", ""),
    ],
)
def test_follows_the_rules_of_moses(language, line, expected):
    assert multi30k_lc.prepare([line], language) == [expected]


plain = st.lists(st.text("abzäöüßé", min_size=1, max_size=5) | st.sampled_from(",.!?"), max_size=12).map(" ".join)


@needs_moses
@settings(max_examples=100, deadline=None)
@given(st.lists(plain, max_size=4), st.sampled_from(["de", "en"]))
def test_is_idempotent_where_nothing_is_escaped(text, language):
    once = multi30k_lc.prepare(text, language)
    assert multi30k_lc.prepare(once, language) == once


@needs_moses
@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.text(st.characters(exclude_characters="\n"), max_size=20), max_size=4),
    st.sampled_from(MULTI30K_LANGUAGES),
)
def test_any_text_gives_as_many_lines(text, language):
    text = [*text, "[/b]", "\x00", "\u2028", "\ud800", "DOTMULTI."]
    prepared = multi30k_lc.prepare(text, language)
    assert len(prepared) == len(text)
    assert not any("\n" in line for line in prepared)


@needs_moses
def test_scores_what_the_papers_score():
    hypothesis, reference = ['Ein Mann sagt "Ja, gut."'], ["EIN MANN SAGT „Ja, gut“."]
    raw = evaluate(hypothesis, [reference], ["bleu", "chrf", "ter"], "de")
    papers = evaluate(hypothesis, [reference], ["bleu", "chrf", "ter"], "de-DE", protocol="multi30k-lc")
    assert raw[0].value < 50
    assert [score.value for score in papers] == [pytest.approx(100), pytest.approx(100), 0]
    assert "|tok:none|" in papers[0].signature
    assert all(score.signature.endswith("|protocol:multi30k-lc") for score in papers)
    assert not any("protocol" in score.signature for score in raw)


@needs_moses
def test_tokenised_text_is_scored_without_a_warning(caplog):
    text = ["ein hund ."] * 200
    evaluate(text, [text], ["bleu"], "de", protocol="multi30k-lc")
    assert not caplog.records


def test_a_language_without_rules_is_refused():
    with pytest.raises(UsageError, match="no rules for language 'zh'"):
        evaluate(["a"], [["a"]], ["bleu"], "zh", protocol="multi30k-lc")


def test_missing_sacremoses_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sacremoses", None)
    with pytest.raises(UsageError) as caught:
        moses_lowercased("de")
    assert "pip install 'mtcli-nmt[moses]'" in caught.value.details


@given(st.lists(st.text()))
def test_raw_changes_nothing(text):
    raw = load("protocol", "raw")
    assert raw.prepare(text, "de") == text
    assert raw.sign("nrefs:1") == "nrefs:1"


def test_every_protocol_but_raw_leaves_its_name_in_the_signature():
    for name in PROTOCOL:
        assert load("protocol", name).mark == ("" if name == "raw" else f"protocol:{name}")
