"""Random but sensible clauses: who can do what to whom, and where."""

from __future__ import annotations

from . import phrases, verbs
from .clauses import Adverbial, Clause
from .declension import CASES, govern
from .dice import Dice
from .nouns import ADJECTIVES, CITIES, FEMALE_NAMES, MALE_NAMES, Adjective, Noun, Place, nouns_of, places_of
from .phrases import NounPhrase
from .verbs import Verb


def word_set(text: str) -> frozenset[str]:
    """The words of the text."""
    return frozenset(text.split())


# What children do not do in these sentences.
_ADULT_VERBS = word_set("buy sell repair drive work drink cook lend invite turn tidy need live send carry")
_OWNING_VERBS = word_set("look find forget lose wash repair clean sell put open bring wear lend show")
_DEFINITE_KINDS = word_set("openable closable clean switchable tidy repairable wash")
_DEFINITE_VERBS = word_set("forget lose bring try put look find know understand")
_ON_ONE_BODY = word_set("wear put try")
_STRANGER_VERBS = word_set("see hear help follow wait photograph visit")
_OWNED_KINDS = word_set("portable clothes vehicle readable pet")

STATES = tuple(
    Adverbial(*words.split("/"))
    for words in ("tired/müde", "hungry/hungrig", "thirsty/durstig", "sick/krank", "happy/glücklich", "sad/traurig")
)


def scene(dice: Dice, subject: NounPhrase | None = None, definite: bool = False) -> Clause:
    """A clause in the bare present; with a `definite` subject or one given from outside."""
    verb = dice.pick(dice.weigh(((verbs.TRANSITIVE, 10), (verbs.DATIVE, 2), (_OTHER, 3), (_PLACED, 6))))
    who = subject or person(dice, young=verb.base not in _ADULT_VERBS, definite=definite)
    if verb in verbs.STAYING:
        return Clause(who, verb, place=where(dice, verb.kinds))
    if verb in verbs.GOING:
        return Clause(who, verb, goal=whither(dice, verb.kinds))
    if verb in verbs.GIVING:
        gift = thing(dice, verb, who, owned=verb.base in _OWNING_VERBS)
        return Clause(who, verb, accusative=gift, dative=somebody(dice, who, False))
    if verb in verbs.DATIVE:
        return Clause(who, verb, dative=somebody(dice, who, verb.base in _STRANGER_VERBS))
    if verb in verbs.PREPOSITIONAL:
        return Clause(who, verb, goal=_complement(dice, verb, who))
    return Clause(who, verb, accusative=thing(dice, verb, who, owned=verb.base in _OWNING_VERBS))


_OTHER = verbs.PREPOSITIONAL + verbs.GIVING
_PLACED = verbs.STAYING + verbs.GOING


def person(dice: Dice, young: bool = True, definite: bool = False, pronoun: bool = True) -> NounPhrase:
    """Somebody who can be a subject."""
    kind = dice.weigh((("name", 30), ("pronoun", 28 if pronoun else 0), ("noun", 40), ("pair", 4)))
    if kind == "pronoun":
        return dice.pick(phrases.PRONOUNS)
    if kind == "name":
        return name(dice)
    if kind == "pair":
        return phrases.pair_of(dice.pick(_WOMEN), dice.pick(_MEN))
    noun = dice.pick(nouns_of("adult", "young") if young else nouns_of("adult"))
    if "kin" in noun.kinds:
        return phrases.owned(dice.pick(tuple(phrases.POSSESSIVES)), noun, adjective(dice, noun), several(dice, noun))
    shape = phrases.some if not definite and dice.chance(0.12) else phrases.the
    return shape(noun, adjective(dice, noun), several(dice, noun))


def name(dice: Dice) -> NounPhrase:
    """Somebody called by name."""
    return dice.pick(_WOMEN + _MEN)


_WOMEN = tuple(phrases.named(name, True) for name in FEMALE_NAMES)
_MEN = tuple(phrases.named(name, False) for name in MALE_NAMES)


def another(dice: Dice, subject: NounPhrase) -> NounPhrase:
    """A subject other than this one, and no pronoun that could be mistaken for it."""
    other = person(dice, definite=True)
    words = set(other.english.split()) & set(subject.english.split()) - {"and", "the", "my"}
    same = words or other.person == subject.person != 3
    return another(dice, subject) if same or (other.pronoun and other.person == 3) else other


def somebody(dice: Dice, subject: NounPhrase, stranger: bool) -> NounPhrase:
    """A person other than the subject, as an object; a `stranger` may be indefinite."""
    kind = dice.weigh((("name", 20), ("pronoun", 25), ("noun", 55)))
    if kind == "noun":
        return _relation(dice, subject, stranger)
    everybody = phrases.PRONOUNS if kind == "pronoun" else _WOMEN + _MEN
    others = tuple(other for other in everybody if _distinct(other, subject))
    return dice.pick(others)


def thing(dice: Dice, verb: Verb, subject: NounPhrase, owned: bool = False) -> NounPhrase:
    """An object that suits the verb."""
    if verb.kinds[0] == "person" and dice.chance(0.8):
        return somebody(dice, subject, verb.base in _STRANGER_VERBS)
    unsuited = {"kin", "female"} if {"clothes", "dressing"} & set(verb.kinds) and subject.gender != "f" else {"kin"}
    noun = dice.pick(tuple(noun for noun in nouns_of(*verb.kinds) if not noun.kinds & unsuited))
    if "person" in noun.kinds:
        return phrases.the(noun, adjective(dice, noun))
    # Nobody wears two coats, and two people never share one.
    plural = subject.plural if verb.base in _ON_ONE_BODY else several(dice, noun)
    known = verb.base in _DEFINITE_VERBS or bool(set(verb.kinds) & _DEFINITE_KINDS)
    return _determined(
        dice, noun, subject.owner if owned and noun.kinds & _OWNED_KINDS else "", verb.base, known, plural
    )


def adjective(dice: Dice, noun: Noun, often: float = 0.3) -> Adjective | None:
    """Perhaps an adjective that suits the noun."""
    if not noun.adjectives or not dice.chance(often):
        return None
    return ADJECTIVES[dice.pick(noun.adjectives)]


def described(dice: Dice, noun: Noun, often: float = 0.15) -> NounPhrase:
    """A definite phrase with this noun, as the subject of a description."""
    plural = several(dice, noun)
    if "kin" in noun.kinds:
        return phrases.owned(dice.pick(tuple(phrases.POSSESSIVES)), noun, None, plural)
    portable = noun.kinds & {"portable", "clothes", "vehicle"}
    if portable and dice.chance(0.3):
        return phrases.owned(dice.pick(tuple(phrases.POSSESSIVES)), noun, None, plural)
    shape = dice.weigh(((phrases.the, 5), (phrases.this, 2)))
    return shape(noun, None, plural) if not dice.chance(often) else phrases.the(noun, None, plural)


def graded(dice: Dice, quality: Adjective) -> Adverbial:
    """Old, very old, too old; colours have no degrees."""
    if quality.english in COLOURS or dice.chance(0.5):
        return Adverbial(quality.english, quality.german)
    grades = ("very", "sehr"), ("quite", "ziemlich"), ("too", "zu")
    english, german = dice.pick(grades[:2] if quality.english in _NEVER_TOO_MUCH else grades)
    return Adverbial(f"{english} {quality.english}", f"{german} {quality.german}")


_NEVER_TOO_MUCH = word_set("new good fresh friendly beautiful clever")
COLOURS = word_set("red blue black white green brown")


def very(dice: Dice, goal: Adverbial) -> Adverbial:
    """Tired, or very tired."""
    return Adverbial(f"very {goal.english}", f"sehr {goal.german}") if dice.chance(0.35) else goal


def several(dice: Dice, noun: Noun) -> bool:
    """Whether to speak of more than one."""
    return not noun.kinds & {"single"} and noun.english_plural != "-" and dice.chance(0.22)


def where(dice: Dice, kinds: tuple[str, ...]) -> Adverbial:
    """In the old garden, in Berlin."""
    if "live" in kinds and dice.chance(0.5):
        english, german = dice.pick(CITIES)
        return Adverbial(f"in {english}", f"in {german}")
    place = dice.pick(places_of(*kinds))
    return at_place(place, phrases.the(place.noun, adjective(dice, place.noun, 0.15)))


def at_place(place: Place, phrase: NounPhrase) -> Adverbial:
    """The preposition of rest before a phrase for the place."""
    english, german = place.where
    return Adverbial(f"{english} {phrase.english_object}", govern(german, phrase.german[2]))


def whither(dice: Dice, kinds: tuple[str, ...]) -> Adverbial:
    """To the station, to Berlin."""
    if "town" in kinds and dice.chance(0.6):
        return to_city(dice)
    place = dice.pick(places_of(*kinds))
    phrase = phrases.the(place.noun, adjective(dice, place.noun, 0.1))
    english, german, case = place.whither
    return Adverbial(f"{english} {phrase.english_object}", govern(german, phrase.german[CASES.index(case)]))


def to_city(dice: Dice) -> Adverbial:
    """To Munich, nach München."""
    english, german = dice.pick(CITIES)
    return Adverbial(f"to {english}", f"nach {german}")


def company(dice: Dice, subject: NounPhrase) -> Adverbial:
    """With her brother."""
    other = somebody(dice, subject, False)
    return Adverbial(f"with {other.english_object}", f"mit {other.german[2]}")


def same_person(subject: NounPhrase) -> NounPhrase | None:
    """The pronoun that takes up this subject, or None for a child, whose English pronoun is anyone's guess."""
    if subject.pronoun:
        return subject
    if not subject.owner:
        return None
    return next(word for word in phrases.PRONOUNS if word.owner == subject.owner)


def _distinct(other: NounPhrase, subject: NounPhrase) -> bool:
    if other.person != 3 or subject.person != 3:
        return other.person != subject.person
    return other.english not in subject.english.split() and not (other.pronoun and subject.pronoun)


def _relation(dice: Dice, subject: NounPhrase, stranger: bool) -> NounPhrase:
    words = subject.english.split()
    strangers = (noun for noun in nouns_of("adult", "young") if not {noun.english, noun.english_plural} & set(words))
    noun = dice.pick(tuple(strangers))
    if "kin" in noun.kinds:
        owner = subject.owner if subject.owner and dice.chance(0.6) else dice.pick(("my", "your", "our"))
        return phrases.owned(owner, noun, adjective(dice, noun), several(dice, noun))
    shapes = ((phrases.the, 6), (phrases.this, 1), (phrases.some, 2 if stranger else 0))
    return dice.weigh(shapes)(noun, adjective(dice, noun), several(dice, noun))


def _determined(dice: Dice, noun: Noun, owner: str, verb: str, known: bool, plural: bool) -> NounPhrase:
    description = adjective(dice, noun)
    if owner and dice.chance(0.5):
        return phrases.owned(owner, noun, description, plural)
    if verb == "have":
        return phrases.some(noun, description, plural)
    if not known and verb not in _ON_ONE_BODY and noun.english_plural != "-" and dice.chance(0.08):
        return phrases.counted(dice.between(2, 12), noun, description)
    shapes = ((phrases.the, 5), (phrases.this, 1), (phrases.some, 0 if known else 5))
    if "drink" in noun.kinds:
        return phrases.some(noun, description)
    return dice.weigh(shapes)(noun, description, plural)


def _complement(dice: Dice, verb: Verb, subject: NounPhrase) -> Adverbial:
    preposition, case = verb.german_preposition
    other = (
        somebody(dice, subject, False)
        if "person" in verb.kinds
        else phrases.the(dice.pick(nouns_of(*verb.kinds)), plural=False)
    )
    return Adverbial(other.english_object, govern(preposition, other.german[CASES.index(case)]))
