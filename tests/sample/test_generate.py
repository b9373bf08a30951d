"""The sample corpus: reproducible, without leaks, and in correct German as far as rules can tell."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sample.grammar_check import (
    DETERMINER,
    PLURAL_FINITE,
    SINGULAR_FINITE,
    english_value,
    german_value,
    is_noun,
    listed,
    phrase_cases,
)

DATA = Path(__file__).resolve().parents[2] / "data"
sys.path.insert(0, str(DATA))

from sample_grammar.number_words import english_number, german_number  # noqa: E402

SPLITS = ("train", "valid", "test")
FINITE = SINGULAR_FINITE | PLURAL_FINITE
NAMES = listed("Anna Maria Lena Sophie Emma Julia Clara Paul Peter Max Jonas Felix Lukas David Martin")


def read(split: str, language: str, directory: Path = DATA / "sample") -> list[str]:
    return (directory / f"{split}.{language}").read_text("utf-8").removesuffix("\n").split("\n")


GERMAN = [line for split in SPLITS for line in read(split, "de")]
ENGLISH = [line for split in SPLITS for line in read(split, "en")]


@pytest.fixture(scope="module")
def run_generator(tmp_path_factory):
    def run(*options: str) -> Path:
        directory = tmp_path_factory.mktemp("sample")
        command = [sys.executable, str(DATA / "generate.py"), "-o", str(directory), *options]
        subprocess.run(command, check=True, capture_output=True)
        return directory

    return run


def test_the_committed_files_are_what_the_generator_writes(run_generator):
    directory = run_generator()
    for path in sorted((DATA / "sample").iterdir()):
        assert (directory / path.name).read_bytes() == path.read_bytes(), path.name


def test_seed_and_size_are_obeyed(run_generator):
    one, other = run_generator("--pairs", "50"), run_generator("--pairs", "50", "--seed", "2")
    assert len(read("train", "en", one)) == len(read("train", "de", other)) == 50
    assert read("train", "en", one) != read("train", "en", other)


def test_sizes():
    for split, size in zip(SPLITS, (8000, 300, 300), strict=True):
        assert len(read(split, "en")) == len(read(split, "de")) == size
    assert sum(path.stat().st_size for path in (DATA / "sample").iterdir()) < 1_200_000


@pytest.mark.parametrize("language", ["en", "de"])
def test_no_sentence_occurs_twice_within_or_between_the_splits(language):
    sides = {split: read(split, language) for split in SPLITS}
    assert all(len(set(lines)) == len(lines) for lines in sides.values())
    assert all(set(sides[one]).isdisjoint(sides[other]) for one, other in combinations(SPLITS, 2))


@pytest.mark.parametrize("lines", [ENGLISH, GERMAN], ids=["en", "de"])
def test_orthography(lines):
    for line in lines:
        assert re.fullmatch(r"[A-ZÄÖÜ](?:[\w ,.:'€-])*[.!?]", line), line
        assert "  " not in line, line
        assert not re.search(r" [,.?!]|,[.?!,]", line), line


def test_english_articles_and_cannot():
    assert not [line for line in ENGLISH if re.search(r"\b(can not|[Aa] [aeiou]|[Aa]n [^aeiou])", line)]


def test_english_sentences_are_neither_tiny_nor_long():
    assert all(4 <= len(line.split()) <= 18 for line in ENGLISH)


def test_every_word_of_the_held_out_sentences_is_well_known():
    trained = {word for line in read("train", "en") for word in re.findall(r"[a-z]+", line.casefold())}
    for line in read("test", "en") + read("valid", "en"):
        assert set(re.findall(r"[a-z]+", line.casefold())) <= trained, line


@given(st.integers(0, 9_999_999))
def test_number_words_mean_their_number(number):
    assert english_value(english_number(number)) == german_value(german_number(number)) == number


def test_number_words_agree_across_the_corpus():
    checked = 0
    for english, german in zip(ENGLISH, GERMAN, strict=True):
        one = re.search(r"(?:count to|costs?|has|had) (?!to )([a-z -]+?)(?: euros| inhabitants|\.)", english)
        other = re.search(
            r"(?:bis|kostet|hat|hatte|haben|kosten) ((?:\w+ Million(?:en)? ?)?\w+?)(?: Euro\b| Einwohner| zählen)",
            german,
        )
        if one and other and not one.group(1).startswith(("a ", "the ", "no ")):
            assert english_value(one.group(1)) == german_value(other.group(1)), (english, german)
            checked += 1
    assert checked > 150


def test_digits_agree_across_the_corpus():
    for english, german in zip(ENGLISH, GERMAN, strict=True):
        ours = re.findall(r"\d[\d,.]*\d|\d", english)
        theirs = re.findall(r"\d[\d,.]*\d|\d", german)
        swapped = [number.translate(str.maketrans(",.", ".,")) for number in theirs]
        assert sorted(ours) == sorted(swapped), (english, german)


def test_german_contracts_where_it_must():
    # "in der", "zu den" and "von der" do not contract, nor does a preposition before a relative pronoun.
    assert not [
        line for line in GERMAN if re.search(r"\b(in|an|zu|von|bei) dem\b|\b(in|an) das\b|\bzu der\b", line, re.I)
    ]


def test_commas_stand_before_every_subordinate_clause():
    for line in GERMAN:
        assert not re.search(r"[^,] (weil|dass|ob|obwohl|wenn|um \w+ \w* ?zu)\b", line[1:]), line


def test_subordinate_clauses_end_in_their_finite_verb():
    opening = (
        r"(?:^|, )(?:weil|dass|wenn|obwohl|ob|warum|wo|Wenn|Obwohl) (\w+)(?: (?:und )?[^,.?!]*)? (\w+)(?=[,.?!])"
    )
    relative = r"[A-ZÄÖÜ]\w+, (?:der|die|das|den|dem) ((?:[^,.?!]+ )?)(\w+)[,.?!]"
    checked = 0
    for line in GERMAN:
        for subject, verb in re.findall(opening, line):
            if subject in ("er", "ich", "es"):
                assert verb in SINGULAR_FINITE or (subject == "ich" and verb.endswith("e")), line
            elif subject == "du":
                assert verb.endswith("t"), line
            elif subject == "wir":
                assert verb in PLURAL_FINITE, line
            else:
                assert verb in FINITE, line
            checked += 1
        for _, verb in re.findall(relative, line):
            assert verb in FINITE or verb.endswith(("e", "st")), line
            checked += 1
    assert checked > 1000


def test_main_clauses_have_their_verb_second():
    for line in GERMAN:
        main = re.sub(r"^(Wenn|Obwohl) [^,]+, ", "", line)
        verb_first = main != line or (line.endswith("?") and not re.match(r"W(er|o|as|ann|arum|ie)\b", line))
        words = re.sub(r", (der|die|das|den|dem) [^,.]+,", "", main).rstrip(".?!").split(",")[0].split()
        first = 0 if verb_first else constituent(words)
        verb = words[first].lower()
        stems = {
            form.removeprefix(prefix) for form in FINITE for prefix in ("ab", "an", "auf", "aus", "ein", "zurück")
        }
        person = words[first - 1].lower() if first else words[first + 1].lower()
        other = (person == "ich" or "ich" in words[first : first + 2]) and verb.endswith(("e", "wurde"))
        du = "du" in [word.lower() for word in words[:3] + words[first : first + 2]] and verb.endswith("t")
        assert verb in stems or other or du or verb in ("wurde", "wurden", "gab"), (line, verb)


def constituent(words: list[str]) -> int:
    """How many words stand before the verb of a main clause that begins with its first constituent."""
    text = " ".join(words)
    name = f"(?:{'|'.join(NAMES)})"
    patterns = (
        r"Wie (?:viele \w+|viel)|Wer|Was|Wo|Wann|Warum",
        r"Gestern Abend|Heute (?:Abend|Morgen)|Morgen früh|Jetzt|Heute|Gestern|Morgen|Im Moment",
        r"(?:Vor|In) [a-zäöüß]+ (?:Tagen|Wochen|Monaten|Jahren)",
        r"Um (?:halb|Viertel (?:vor|nach)|\w+ (?:vor|nach)) \w+|Um \w+ Uhr",
        r"(?:Im|Am|In \w+|Auf \w+|An \w+)(?: [a-zäöüß]+)? [A-ZÄÖÜ]\w+|Von \w+ nach \w+",
        rf"Der (?:Zug|Bus) (?:nach|aus) \w+|{name}(?: und {name})?|Ich|Du|Er|Sie|Wir|Es",
        r"(?:\w+ )?(?:[a-zäöüß]+ )?[A-ZÄÖÜ]\w+",
    )
    for pattern in patterns:
        found = re.match(rf"(?:{pattern})(?= )", text)
        if found:
            return len(found.group().split())
    raise AssertionError(text)


def test_articles_adjectives_and_nouns_agree_in_gender_number_and_case():
    checked = 0
    for line in GERMAN:
        for preposition, determiner, adjective, noun in phrases_of(line):
            cases = phrase_cases(determiner, adjective, noun)
            assert cases & CASES_AFTER.get(preposition, {"nominative", "accusative", "dative"}), (
                line,
                determiner,
                noun,
            )
            checked += 1
    assert checked > 8000


CASES_AFTER = {word: {"accusative"} for word in ("für", "ohne", "durch", "um")}
CASES_AFTER |= {word: {"dative"} for word in ("mit", "aus", "von", "zu", "seit", "bei")}
CASES_AFTER |= {word: {"accusative", "dative"} for word in ("in", "auf", "an", "unter", "vor", "hinter", "neben")}


def phrases_of(line: str) -> list[tuple[str, str, str, str]]:
    """Every (preposition or "", determiner, adjective or "", noun) of a sentence."""
    found = []
    words = re.findall(r"\w+|,", line)
    words[0] = words[0].lower()
    for index, word in enumerate(words):
        if not (
            DETERMINER.match(word)
            or word in ("der", "die", "das", "den", "dem", "im", "zum", "zur", "vom", "ins", "ans")
        ):
            continue
        # After a comma it is a relative pronoun, or the object of an infinitive; one o'clock is never declined.
        if words[index - 1] == "," or words[index : index + 2] == ["ein", "Uhr"]:
            continue
        # "ihr" may be a pronoun: er zeigt ihr neue Bücher.
        if word == "ihr":
            continue
        following = [*words[index + 1 : index + 3], "", ""]
        before = words[index - 1] if index and words[index - 1] in CASES_AFTER else ""
        if is_noun(following[0]):
            found.append((before, word, "", following[0]))
        elif (
            following[0].islower() and following[0].endswith(("e", "en", "er", "es", "em")) and is_noun(following[1])
        ):
            found.append((before, word, following[0], following[1]))
    return found
