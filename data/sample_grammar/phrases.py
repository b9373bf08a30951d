"""Noun phrases in both languages: names, pronouns, and nouns with their determiners and adjectives."""

from __future__ import annotations

from dataclasses import dataclass

from .declension import decline
from .nouns import Adjective, Noun
from .number_words import english_digits, english_number, german_digits, german_number

POSSESSIVES = {"my": "mein", "your": "dein", "his": "sein", "her": "ihr", "our": "unser", "their": "ihr"}


@dataclass(frozen=True)
class NounPhrase:
    """Somebody or something; `german` holds nominative, accusative and dative.

    `owner` is the possessive that points back at it, or empty where none sounds right; `denied` is the same phrase
    under a negation that German expresses by kein, or None where it takes nicht.
    """

    english: str
    english_object: str
    german: tuple[str, str, str]
    gender: str
    person: int = 3
    plural: bool = False
    definite: bool = True
    pronoun: bool = False
    owner: str = ""
    denied: NounPhrase | None = None


PRONOUNS = (
    NounPhrase("I", "me", ("ich", "mich", "mir"), "m", person=1, pronoun=True, owner="my"),
    NounPhrase("you", "you", ("du", "dich", "dir"), "m", person=2, pronoun=True, owner="your"),
    NounPhrase("he", "him", ("er", "ihn", "ihm"), "m", pronoun=True, owner="his"),
    NounPhrase("she", "her", ("sie", "sie", "ihr"), "f", pronoun=True, owner="her"),
    NounPhrase("we", "us", ("wir", "uns", "uns"), "m", person=1, plural=True, pronoun=True, owner="our"),
    NounPhrase("they", "them", ("sie", "sie", "ihnen"), "m", plural=True, pronoun=True, owner="their"),
)
WHO = NounPhrase("who", "whom", ("wer", "wen", "wem"), "m", pronoun=True)
IT = {
    "m": NounPhrase("it", "it", ("er", "ihn", "ihm"), "m", pronoun=True),
    "f": NounPhrase("it", "it", ("sie", "sie", "ihr"), "f", pronoun=True),
    "n": NounPhrase("it", "it", ("es", "es", "ihm"), "n", pronoun=True),
}
RELATIVE = {
    "m": ("der", "den", "dem"),
    "f": ("die", "die", "der"),
    "n": ("das", "das", "dem"),
    "p": ("die", "die", "denen"),
}


def named(name: str, female: bool) -> NounPhrase:
    """Somebody called by name."""
    return NounPhrase(name, name, (name, name, name), "f" if female else "m", owner="her" if female else "his")


def pair_of(first: NounPhrase, second: NounPhrase) -> NounPhrase:
    """Two phrases joined by "and"."""
    nominative, accusative, dative = (f"{a} und {b}" for a, b in zip(first.german, second.german, strict=True))
    english = f"{first.english} and {second.english}"
    return NounPhrase(english, english, (nominative, accusative, dative), "m", plural=True, owner="their")


def the(noun: Noun, adjective: Adjective | None = None, plural: bool = False) -> NounPhrase:
    """The (old) man, the (old) men."""
    return _phrase("the", "der", adjective, noun, plural)


def this(noun: Noun, adjective: Adjective | None = None, plural: bool = False) -> NounPhrase:
    """This (old) man, these (old) men."""
    return _phrase("these" if plural else "this", "dieser", adjective, noun, plural)


def owned(owner: str, noun: Noun, adjective: Adjective | None = None, plural: bool = False) -> NounPhrase:
    """My (old) dog; `owner` is the English possessive."""
    return _phrase(owner, POSSESSIVES[owner], adjective, noun, plural)


def some(noun: Noun, adjective: Adjective | None = None, plural: bool = False) -> NounPhrase:
    """A (new) book, (new) books, (cold) water; knows its own denial (kein Buch)."""
    uncountable = plural or noun.english_plural == "-"
    article = "" if uncountable else _indefinite_article(adjective.english if adjective else noun.english)
    denied = _phrase("any" if uncountable else article, "kein", adjective, noun, plural, definite=False)
    return _phrase(article, "" if uncountable else "ein", adjective, noun, plural, definite=False, denied=denied)


def no(noun: Noun, adjective: Adjective | None = None, plural: bool = False) -> NounPhrase:
    """No (new) book, no (new) books."""
    return _phrase("no", "kein", adjective, noun, plural, definite=False)


def counted(number: int, noun: Noun, adjective: Adjective | None = None, in_words: bool = True) -> NounPhrase:
    """Three (new) books, 350 books; `number` is at least 2 and does not end in 01 (einhundertein Bücher)."""
    english, german = (
        (english_number(number), german_number(number))
        if in_words
        else (english_digits(number), german_digits(number))
    )
    return _phrase(english, german, adjective, noun, True, definite=False)


def _indefinite_article(following: str) -> str:
    return "an" if following[0] in "aeiou" else "a"


def _phrase(
    english: str,
    german: str,
    adjective: Adjective | None,
    noun: Noun,
    plural: bool,
    definite: bool = True,
    denied: NounPhrase | None = None,
) -> NounPhrase:
    words = (english, adjective.english if adjective else "", noun.english_plural if plural else noun.english)
    text = " ".join(word for word in words if word)
    forms = decline(german, adjective, noun, plural)
    # No English possessive is at ease with a child whose sex the sentence leaves open, and German would need another.
    owner = "their" if plural else {"m": "his", "f": "her", "n": ""}[noun.gender]
    return NounPhrase(text, text, forms, noun.gender, 3, plural, definite, owner=owner, denied=denied)
