"""What a sentence and its translation, as texts, say against the translation; every doubt is a pure function.

A doubt is a reason to look, not a verdict. Of 190,000 human translations in Multi30k and Tatoeba, between English and
German or Chinese, no one is doubted for looping or copying; the other rates stand beside the rules.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from operator import eq

from mtcli.decoding.places import words

LONGEST_PERIOD = 200
"""Characters of the longest text whose repetition is looked for: a sentence."""

REPEATED = 8
"""Characters that a loop repeats at least; `ha ha ha` repeats 5."""


def looping(source: str, translation: str) -> bool:
    """Whether something stands two and a half times in a row or more, at the end or through half of the translation.

    Where the source repeats itself too, the translation must repeat more than twice as many characters.
    """
    text = squeezed(translation)
    most = 0
    for period in range(1, min(LONGEST_PERIOD, 2 * len(text) // 5) + 1):
        again = repeats(text, period)
        at_end, anywhere = len(again.rpartition(b"\0")[2]), max(map(len, again.split(b"\0")))
        extent = anywhere if 2 * (anywhere + period) >= len(text) else at_end
        if 2 * extent >= 3 * period:
            most = max(most, extent)
    return most >= REPEATED and most >= REPEATED + 2 * repeated(squeezed(source))


def repeated(text: str) -> int:
    """The most characters in a row that repeat, at least once as a whole, what stands before them."""
    most = 0
    for period in range(1, min(LONGEST_PERIOD, len(text) // 2) + 1):
        extent = max(map(len, repeats(text, period).split(b"\0")))
        if extent >= period:
            most = max(most, extent)
    return most


def repeats(text: str, period: int) -> bytes:
    """A 1 for each character that is the same as the one `period` before it, else a 0."""
    return bytes(map(eq, text, text[period:]))


def squeezed(text: str) -> str:
    """The text in one case, with single spaces and without punctuation at its end, unless it is nothing else."""
    text = " ".join(text.casefold().split())
    kept = UP_TO_PUNCTUATION.match(text)
    return kept[0] if kept else text


# Not patterns of the punctuation at an end: they take quadratic time where there is much of it elsewhere.
UP_TO_PUNCTUATION = re.compile(r".*[\w\s]", re.DOTALL)
WITHIN_PUNCTUATION = re.compile(r"\w(?:.*\w)?", re.DOTALL)


def copied_source(source: str, translation: str) -> bool:
    """Whether at least half of the translation's runs of four words stand in the source as well.

    Of three words it is the run of all three; one or two may be a name. (Ott et al. 2018 count single words, which
    names and related languages share.)
    """
    theirs, ours = lettered(source), lettered(translation)
    size = min(4, len(ours))
    if size < 3:
        return False
    known = set(runs(theirs, size))
    copied = [run in known for run in runs(ours, size)]
    return 2 * sum(copied) >= len(copied)


def lettered(text: str) -> list[str]:
    """The words that have letters, in one case and without punctuation around them."""
    found = (WITHIN_PUNCTUATION.search(word) for word in words(text.casefold()) if any(map(str.isalpha, word)))
    return [word[0] for word in found if word]


def runs(items: Sequence[str], size: int) -> Iterator[tuple[str, ...]]:
    """Every run of so many items."""
    return zip(*(items[start:] for start in range(size)), strict=False)


SEPARATORS = ".,'’٫٬"
"""What may stand between the digits of a number, two of them Arabic."""

NUMBER = re.compile(rf"\d+(?:[{SEPARATORS}]\d+)*")
SPACED_NUMBER = re.compile(rf"\d+(?:[{SEPARATORS} ]\d+)*")

LONGEST_NUMBER = 7
"""Groups of three digits: up to 10^21."""


def numbers_lost(source: str, translation: str) -> bool:
    """Whether digits of a number of at least two are not in the translation.

    Digits of all scripts are alike, and so are 1,000, 1.000, 1 000 and 1000; 5.3.2019 is kept by 3/5/2019. Where
    people translate, one number in four is written in words, of single digits one in two: hence at least two.
    """
    there = parts_of_numbers(translation)
    for number in NUMBER.findall(source):
        groups = digits(number)
        whole = plain("".join(groups))
        if len(whole) > 1 and whole not in there and not {plain(group) for group in groups} <= there:
            return True
    return False


def parts_of_numbers(text: str) -> set[str]:
    """Every number, and what stands between separators in one, alone and with its neighbours."""
    found: set[str] = set()
    for number in SPACED_NUMBER.findall(text):
        groups = digits(number)
        for start in range(len(groups)):
            for end in range(start + 1, min(start + LONGEST_NUMBER, len(groups)) + 1):
                found.add(plain("".join(groups[start:end])))
    return found


def digits(number: str) -> list[str]:
    """The groups of digits in a number, in ASCII."""
    return ["".join(str(unicodedata.decimal(digit)) for digit in group) for group in re.findall(r"\d+", number)]


def plain(number: str) -> str:
    """A number without zeros before it."""
    return number.lstrip("0") or "0"


def length_suspicious(source_tokens: int, target_tokens: int) -> bool:
    """Whether one side has more than twice the tokens of the other, and five more.

    So have 0.01 % of the translations between English and German, 0.2 % of those between English and Chinese. Tokens
    and not characters, because 100 characters of English are 32 of Chinese, but 100 tokens are 71.
    """
    short, long = sorted((source_tokens, target_tokens))
    return long > 2 * short + 5
