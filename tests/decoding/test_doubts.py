"""What texts say against a translation, in several scripts."""

from __future__ import annotations

from collections.abc import Callable
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtcli.decoding.doubts import copied_source, length_suspicious, looping, numbers_lost

LOOPS = [
    ("I like it.", "Ich mag es und ich mag es und ich mag es"),
    ("Thanks", "Danke, Danke, Danke."),
    ("A dog runs across the grass.", "Ein Hund läuft über das Gras, über das Gras, über das Gras, über das Gras."),
    ("He came late.", "Er kam zu spät. Er kam zu spät. Er kam zu spät."),
    ("我不知道。", "I don't know, I don't know, I don't know."),
    ("I do not know.", "我不知道我不知道我不知道"),
    ("Where is he?", "Где он? Где он? Где он?"),
    ("Where is he?", "أين هو؟ أين هو؟ أين هو؟"),
    ("Where is he?", "वह कहाँ है? वह कहाँ है? वह कहाँ है?"),
    ("Steam boat", "Donaudampfdampfdampfdampfdampf"),
    ("Hello", "." * 30),
    ("no no", "nein " * 20),
]
NO_LOOPS = [
    ("Ha ha ha!", "Ha ha ha ha!"),
    ("No, no, no, no, no!", "Nein, nein, nein, nein, nein!"),
    ("very, very, very good", "sehr, sehr, sehr gut"),
    ("哈哈哈哈哈哈", "Hahahahahaha"),
    ("1,000,000,000,000", "1 000 000 000 000"),
    ("the more, the merrier", "je mehr, desto besser"),
    ("Bora Bora", "Bora Bora"),
    ("wait" + "." * 20, "warte" + "." * 20),
    ("", ""),
    ("a b", "x"),
]


@pytest.mark.parametrize(("source", "translation"), LOOPS)
def test_loops(source: str, translation: str) -> None:
    assert looping(source, translation)


@pytest.mark.parametrize(("source", "translation"), NO_LOOPS)
def test_no_loops(source: str, translation: str) -> None:
    assert not looping(source, translation)


phrase = st.text(st.sampled_from("abcdefghij 一二三四五六七八九的"), min_size=4, max_size=30).filter(str.strip)


@given(phrase, phrase, st.integers(4, 9))
def test_what_ends_with_a_phrase_again_and_again_loops(start: str, again: str, times: int) -> None:
    assert looping("short words, none of them twice", f"{start} {f'{again} ' * times}")
    assert not looping(f"{again} " * times, f"{again} " * times)


@given(st.permutations("abcdefghijklmnopqrstuvwxyz一二三四五六七八九十"))
def test_what_repeats_nothing_does_not_loop(letters: list[str]) -> None:
    assert not looping("", "".join(letters))


COPIES = [
    ("A dog runs across the grass.", "A dog runs across the grass."),
    ("A dog runs across the grass.", "a dog runs across the green grass"),
    ("The old man is sitting here", "The old man is sitting hier"),
    ("guten Morgen zusammen", "Guten Morgen zusammen!"),
    ("他今天没有来上班。", "他今天没有来上班"),
    ("Где мой старый дом?", "Где мой старый дом?"),
    ("वह अपने घर जा रहा है", "वह अपने घर जा रहा है"),
]
NO_COPIES = [
    ("Berlin", "Berlin"),
    ("Angela Merkel and Emmanuel Macron", "Angela Merkel und Emmanuel Macron"),
    ("1 2 3 4 5 6 7", "1 2 3 4 5 6 7"),
    ("10 + 20 = 30", "10 + 20 = 30"),
    ("A dog runs across the grass.", "Ein Hund läuft über das Gras."),
    ("日本の首都は東京です", "日本的首都是东京"),
    ("Dobar dan, kako ste vi danas?", "Добар дан, како сте ви данас?"),
    ("A dog", ""),
    ("", "Ein Hund läuft"),
]


@pytest.mark.parametrize(("source", "translation"), COPIES)
def test_copies(source: str, translation: str) -> None:
    assert copied_source(source, translation)


@pytest.mark.parametrize(("source", "translation"), NO_COPIES)
def test_no_copies(source: str, translation: str) -> None:
    assert not copied_source(source, translation)


@given(st.lists(st.text(st.sampled_from("abcह一"), min_size=1), min_size=3, max_size=9))
def test_the_same_again_is_a_copy(several: list[str]) -> None:
    source = " ".join(several)
    assert copied_source(source, source.upper() + "!")


KEPT = [
    ("It costs 1,000.50 dollars", "Es kostet 1.000,50 Dollar"),
    ("1,234,567 people", "1 234 567 Menschen"),
    ("12,34,567 people", "1.234.567 Menschen"),
    ("1'000 Franken", "1000 francs"),
    ("in the year 2019", "في عام ٢٠١٩"),
    ("عام ١٬٢٣٤", "1,234"),
    ("१२३ लोग", "123 people"),
    ("２０１９年", "the year 2019"),
    ("on 5/13/2019", "am 13.5.2019"),
    ("5.3.2019", "2019-03-05"),
    ("007", "7"),
    ("Two of 3 dogs", "Zwei von drei Hunden"),
    ("no number", "42"),
    ("m²", "qm"),
]
LOST = [
    ("in 1984", "im Jahr 1948"),
    ("It costs 1,000 dollars", "Es kostet 1 Dollar"),
    ("12 dogs", "21 Hunde"),
    ("120 dogs and 45 cats", "120 Hunde und Katzen"),
    ("12 dogs", "Hunde"),
    ("عام ٢٠١٩", "the year 2091"),
    ("1.5 million", "1.6 Millionen"),
    ("50 dogs", "150 Hunde"),
]


@pytest.mark.parametrize(("source", "translation"), KEPT)
def test_numbers_kept(source: str, translation: str) -> None:
    assert not numbers_lost(source, translation)


@pytest.mark.parametrize(("source", "translation"), LOST)
def test_numbers_lost(source: str, translation: str) -> None:
    assert numbers_lost(source, translation)


DIGITS = ["0123456789", "٠١٢٣٤٥٦٧٨٩", "۰۱۲۳۴۵۶۷۸۹", "०१२३४५६७८९", "০১২৩৪৫৬৭৮৯", "๐๑๒๓๔๕๖๗๘๙", "０１２３４５６７８９"]


@given(st.integers(10, 10**12), st.sampled_from(DIGITS), st.sampled_from(",. '’٬"), st.sampled_from(DIGITS))
def test_a_number_is_kept_however_it_is_written(number: int, there: str, separator: str, here: str) -> None:
    grouped = f"{number:,}".translate(str.maketrans("0123456789,", here + separator))
    assert not numbers_lost(f"a {number} b".translate(str.maketrans("0123456789", there)), f"c {grouped} d")
    assert numbers_lost(f"a {number} b", f"c {number + 1} d")


@pytest.mark.parametrize("doubt", [looping, copied_source, numbers_lost])
def test_a_table_drawn_of_dashes_takes_no_time(doubt: Callable[[str, str], bool]) -> None:
    line, started = "a" + "-" * 20_000 + "b " + "1." * 5000, process_time()
    doubt(line, line)
    assert process_time() - started < 3


def test_lengths_far_from_each_other() -> None:
    assert not length_suspicious(10, 25)
    assert length_suspicious(10, 26)
    assert length_suspicious(26, 10)
    assert not length_suspicious(2, 9)
    assert length_suspicious(12, 0)


@given(st.integers(0, 500), st.integers(0, 500))
def test_a_length_is_as_suspicious_in_the_other_direction(one: int, other: int) -> None:
    assert length_suspicious(one, other) == length_suspicious(other, one)
    assert not length_suspicious(one, one)
