"""A clause as one structure, and its word orders in both languages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from . import english_verbs, german_verbs
from .phrases import NounPhrase
from .verbs import Modal, Verb


class Adverbial(NamedTuple):
    """An expression of time, place or manner, or a predicate, ready-made in both languages."""

    english: str
    german: str


@dataclass(frozen=True)
class Clause:
    """Who does what to whom, when and where.

    `often` are adverbs before the German objects (oft, immer), `already` those after a definite one (schon, nie);
    `place` is where it happens, `goal` whatever German keeps next to its verb: direction, predicate, complement.
    """

    subject: NounPhrase
    verb: Verb
    tense: str = "present"
    modal: Modal | None = None
    negated: bool = False
    accusative: NounPhrase | None = None
    dative: NounPhrase | None = None
    time: Adverbial | None = None
    often: Adverbial | None = None
    already: Adverbial | None = None
    company: Adverbial | None = None
    place: Adverbial | None = None
    goal: Adverbial | None = None


def english_statement(clause: Clause, front_time: bool = False) -> str:
    """Subject, verb, object, place, time; also the order inside a subordinate clause."""
    finite, rest = english_verbs.verb_group(*_verb(clause), supported=clause.negated)
    first = _english_fronted(clause.time) if front_time and clause.time else ""
    denied = "cannot" if finite == "can" else f"{finite} not"
    words = [first, clause.subject.english, denied if clause.negated else finite, _adverb(clause), rest]
    return _join(words + _english_tail(clause, not front_time))


def english_question(clause: Clause, asked: str = "") -> str:
    """The auxiliary before the subject, after the question word if there is one."""
    finite, rest = english_verbs.verb_group(*_verb(clause), supported=True)
    words = [asked, finite, clause.subject.english, "not" if clause.negated else "", _adverb(clause), rest]
    return _join(words + _english_tail(clause, True))


def english_infinitive(clause: Clause) -> str:
    """To buy apples: the clause without its subject."""
    return _join([english_verbs.infinitive(clause.verb), *_english_tail(clause, True)])


def german_statement(clause: Clause, front_time: bool = False) -> str:
    """Verb second: after the subject, or after the time with the subject behind the verb."""
    if front_time and clause.time:
        return german_after(clause, clause.time.german)
    finite, closing = german_verbs.verb_group(*_verb(clause))
    return _join([clause.subject.german[0], finite, *_german_middle(clause, True), closing])


def german_after(clause: Clause, first: str, keep_time: bool = False) -> str:
    """Verb second behind anything but the subject; an empty `first` makes a yes-no question."""
    finite, closing = german_verbs.verb_group(*_verb(clause))
    return _join([first, finite, clause.subject.german[0], *_german_middle(clause, keep_time), closing])


def german_final(clause: Clause) -> str:
    """Verb last: what follows weil, dass, wenn, ob or a relative pronoun."""
    return _join([clause.subject.german[0], *_german_middle(clause, True), german_verbs.final_verbs(*_verb(clause))])


def german_infinitive(clause: Clause) -> str:
    """Äpfel zu kaufen: the clause without its subject."""
    return _join([*_german_middle(clause, True), german_verbs.infinitive_with_zu(clause.verb)])


def _verb(clause: Clause) -> tuple[Verb, str, Modal | None, NounPhrase]:
    return clause.verb, clause.tense, clause.modal, clause.subject


def _english_fronted(time: Adverbial) -> str:
    return f"{time.english}," if " " in time.english else time.english


def _adverb(clause: Clause) -> str:
    adverb = clause.often or clause.already
    return adverb.english if adverb else ""


def _english_tail(clause: Clause, with_time: bool) -> list[str]:
    accusative = clause.accusative
    if accusative and clause.negated and accusative.denied:
        accusative = accusative.denied
    thing = accusative.english_object if accusative else ""
    particle = clause.verb.particle
    objects = [thing, particle] if accusative and accusative.pronoun else [particle, thing]
    ends = [clause.goal, clause.place, clause.company, clause.time if with_time else None]
    receiver = clause.dative.english_object if clause.dative else ""
    return [clause.verb.english_preposition, receiver, *objects, *(end.english for end in ends if end)]


def _german_middle(clause: Clause, with_time: bool) -> list[str]:
    accusative, dative = clause.accusative, clause.dative
    kein = bool(clause.negated and accusative and accusative.denied)
    if kein and accusative:
        accusative = accusative.denied
    thing = accusative.german[1] if accusative else ""
    person = dative.german[2] if dative else ""
    early = thing if accusative and accusative.pronoun else ""
    known = thing if accusative and accusative.definite and not early else ""
    new = thing if not early and not known else ""
    nicht = clause.negated and not kein
    time = clause.time.german if with_time and clause.time else ""
    shared = [
        early,
        person if dative and dative.pronoun else "",
        "" if nicht else time,
        clause.often.german if clause.often else "",
        person if dative and not dative.pronoun else "",
        known,
        # Ich habe gestern das Buch gelesen, but: Ich habe das Buch gestern nicht gelesen.
        time if nicht else "",
        clause.already.german if clause.already else "",
        "nicht" if nicht else "",
    ]
    ends = [clause.company, clause.place]
    return [*shared, *(end.german for end in ends if end), new, clause.goal.german if clause.goal else ""]


def _join(words: list[str]) -> str:
    return " ".join(word for word in words if word)
