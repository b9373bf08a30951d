"""How German articles, adjectives and nouns change with gender, number and case."""

from __future__ import annotations

from .nouns import Adjective, Noun

CASES = ("nominative", "accusative", "dative")

# One row per article, one column per m, f, n, plural; in each the three cases.
_DEFINITE = {"m": "der den dem", "f": "die die der", "n": "das das dem", "p": "die die den"}
_DIESER = {
    "m": "dieser diesen diesem",
    "f": "diese diese dieser",
    "n": "dieses dieses diesem",
    "p": "diese diese diesen",
}
_EIN_ENDINGS = {"m": " en em", "f": "e e er", "n": "  em", "p": "e e en"}

_WEAK = {"m": "e en en", "f": "e e en", "n": "e e en", "p": "en en en"}
_MIXED = {"m": "er en en", "f": "e e en", "n": "es es en", "p": "en en en"}
_STRONG = {"m": "er en em", "f": "e e er", "n": "es es em", "p": "e e en"}

_CONTRACTIONS = {
    "in dem": "im",
    "in das": "ins",
    "an dem": "am",
    "an das": "ans",
    "zu dem": "zum",
    "zu der": "zur",
    "von dem": "vom",
    "bei dem": "beim",
}


def decline(determiner: str, adjective: Adjective | None, noun: Noun, plural: bool) -> tuple[str, str, str]:
    """A noun phrase in the nominative, accusative and dative.

    `determiner` is "der", "dieser", a word that bends like "ein" (ein, kein, mein, ...), a numeral, or "" for none.
    """
    nominative, accusative, dative = (
        " ".join(word for word in _words(determiner, adjective, noun, plural, case) if word) for case in range(3)
    )
    return nominative, accusative, dative


def govern(preposition: str, phrase: str) -> str:
    """A preposition before a phrase that already stands in its case, contracted where German insists on it."""
    article, _, rest = phrase.partition(" ")
    contracted = _CONTRACTIONS.get(f"{preposition} {article}")
    return f"{contracted} {rest}" if contracted and rest else f"{preposition} {phrase}"


def attributive(adjective: Adjective, ending: str) -> str:
    """An adjective before its noun: teuer drops an e."""
    stem = "teur" if adjective.german == "teuer" else adjective.german
    return stem + ending


def _words(determiner: str, adjective: Adjective | None, noun: Noun, plural: bool, case: int) -> tuple[str, str, str]:
    column = "p" if plural else noun.gender
    article, endings = _article(determiner, column, case)
    bent = attributive(adjective, _cell(endings, column, case)) if adjective else ""
    return article, bent, _bend(noun, plural, case)


def _article(determiner: str, column: str, case: int) -> tuple[str, dict[str, str]]:
    if determiner == "der":
        return _cell(_DEFINITE, column, case), _WEAK
    if determiner == "dieser":
        return _cell(_DIESER, column, case), _WEAK
    if determiner in ("ein", "kein", "mein", "dein", "sein", "ihr", "unser"):
        return determiner + _cell(_EIN_ENDINGS, column, case), _MIXED
    return determiner, _STRONG


def _cell(table: dict[str, str], column: str, case: int) -> str:
    return table[column].split(" ")[case]


def _bend(noun: Noun, plural: bool, case: int) -> str:
    if not plural:
        # The n-declension shows the plural's form in every case but the nominative.
        return noun.german_plural if noun.weak and case else noun.german
    lacks_n = case == 2 and not noun.german_plural.endswith(("n", "s"))
    return noun.german_plural + ("n" if lacks_n else "")
