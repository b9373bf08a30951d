"""Families of sentences with weil, obwohl, dass, ob and wenn."""

from __future__ import annotations

from dataclasses import replace

from . import moods, phrases, scenes, times, verbs
from .clauses import (
    Adverbial,
    Clause,
    english_question,
    english_statement,
    german_after,
    german_final,
    german_statement,
)
from .dice import Dice
from .phrases import NounPhrase
from .simple_sentences import Pair
from .verbs import SINGLE, Verb

_BE = SINGLE["sein"]


def because(dice: Dice) -> Pair:
    """Anna is drinking water because she is thirsty; is not working today because she is sick."""
    who = scenes.person(dice, definite=True)
    back = scenes.same_person(who)
    if not back:
        return because(dice)
    clause = moods.in_some_tense(dice, scenes.scene(dice, who), 0.35)
    if clause.time and clause.tense == "past":
        clause = replace(clause, time=times.recently(dice))
    if not _wants_a_reason(clause):
        return because(dice)
    reason = replace(_reason(dice, clause, back), tense="past" if clause.tense == "past" else "present")
    return (
        f"{english_statement(clause)} because {english_statement(reason)}.",
        f"{german_statement(clause)}, weil {german_final(reason)}.",
    )


def although(dice: Dice) -> Pair:
    """Although she is tired, Anna is working: the subordinate clause first, then the verb."""
    who = scenes.person(dice, definite=True)
    back = scenes.same_person(who)
    main = scenes.scene(dice, who)
    if not back or main.verb.base not in _TIRING.split():
        return although(dice)
    tense = dice.pick(("progressive", "past"))
    hindrance = _hindrance(dice, who)
    state = replace(hindrance, tense="past" if tense == "past" else "present")
    main = replace(main, subject=back, tense=tense)
    return (
        f"although {english_statement(state)}, {english_statement(main)}.",
        f"obwohl {german_final(state)}, {german_after(main, '', True)}.",
    )


_TIRING = "work clean tidy cook help write read repair dance sing wash walk play visit buy drive go swim talk"


def that(dice: Dice) -> Pair:
    """I hope that Anna will visit us tomorrow."""
    thinker = scenes.another(dice, phrases.PRONOUNS[1])
    inner = moods.in_some_tense(dice, scenes.scene(dice, scenes.another(dice, thinker)))
    verb = SINGLE[dice.pick(("wissen", "glauben", "hoffen", "sagen"))]
    outer = Clause(thinker, verb)
    if verb.base == "know" and inner.modal is None and dice.chance(0.4):
        return f"{english_question(outer)} that {english_statement(inner)}?", (
            f"{german_after(outer, '')}, dass {german_final(inner)}?"
        )
    return (
        f"{english_statement(outer)} that {english_statement(inner)}.",
        f"{german_statement(outer)}, dass {german_final(inner)}.",
    )


def whether(dice: Dice) -> Pair:
    """I do not know whether Anna has already read the book. Do you know where Paul works?"""
    thinker = scenes.another(dice, phrases.PRONOUNS[1])
    inner = moods.in_some_tense(dice, scenes.scene(dice, scenes.another(dice, thinker)), 0)
    word, wort = "whether", "ob"
    if dice.chance(0.35):
        word, wort = "why", "warum"
        if inner.verb in verbs.STAYING and inner.verb.base != "stay":
            inner, (word, wort) = replace(inner, place=None), ("where", "wo")
    if dice.chance(0.3):
        outer = Clause(phrases.PRONOUNS[1], SINGLE["wissen"])
        start = english_question(outer), german_after(outer, "")
        return f"{start[0]} {word} {english_statement(inner)}?", f"{start[1]}, {wort} {german_final(inner)}?"
    asking = dice.chance(0.35)
    verb = SINGLE["fragen" if asking else "wissen"]
    outer = Clause(thinker, verb, "progressive" if asking else "present", negated=not asking)
    return (
        f"{english_statement(outer)} {word} {english_statement(inner)}.",
        f"{german_statement(outer)}, {wort} {german_final(inner)}.",
    )


def when_if(dice: Dice) -> Pair:
    """If it rains tomorrow, we will stay in the house: Wenn es morgen regnet, werden wir ..."""
    main = scenes.scene(dice, scenes.person(dice, definite=True))
    if main.verb.base not in _RAINY_DAY.split():
        return when_if(dice)
    future = dice.chance(0.5)
    time = times.soon(dice) if future and dice.chance(0.4) else None
    english, german = _condition(dice, main.subject, time)
    main = replace(main, tense="future") if future else replace(main, modal=dice.pick(verbs.MODALS[:2]))
    return f"if {english}, {english_statement(main)}.", f"wenn {german}, {german_after(main, '', True)}."


_RAINY_DAY = "stay go drive walk work sleep play read visit cook clean tidy help call pick wait repair"


def _reason(dice: Dice, clause: Clause, back: NounPhrase) -> Clause:
    if clause.negated:
        return _hindrance(dice, back)
    motive = _motive(clause.verb)
    if motive == "errand":
        verb = dice.pick(verbs.chosen(verbs.TRANSITIVE, "visit pick"))
        return Clause(back, verb, modal=verbs.MODALS[2], accusative=scenes.somebody(dice, back, False))
    if motive == "time/Zeit":
        return Clause(back, _HAVE, goal=Adverbial("time", "Zeit"))
    english, german = motive.split("/")
    quality = scenes.very(dice, Adverbial(english, german))
    return Clause(phrases.IT["n"] if english in ("cold", "warm", "important") else back, _BE, goal=quality)


def _wants_a_reason(clause: Clause) -> bool:
    # Future, perfect, permission and the absence of duty need reasons of their own; a verb of state rarely has one.
    odd = verbs.MODALS[3:] + ((verbs.MODALS[1],) if clause.negated else ())
    if clause.verb.stative or clause.tense in ("future", "perfect") or clause.modal in odd:
        return False
    return clause.negated or _motive(clause.verb) != ""


def _motive(verb: Verb) -> str:
    return next((motive for motive, bases in _MOTIVES.items() if verb.base in bases.split()), "")


_MOTIVES = {
    "hungry/hungrig": "eat",
    "thirsty/durstig": "drink",
    "tired/müde": "sleep sit",
    "sick/krank": "stay",
    "happy/glücklich": "sing dance",
    "cold/kalt": "wear put close",
    "warm/warm": "swim",
    "important/wichtig": "call look answer thank wait write bring talk work",
    "time/Zeit": "visit help cook clean tidy repair wash read play invite photograph",
    "errand": "go come drive walk arrive",
}


def _hindrance(dice: Dice, who: NounPhrase) -> Clause:
    if dice.chance(0.2):
        return Clause(who, _HAVE, goal=Adverbial("no time", "keine Zeit"))
    return Clause(who, _BE, goal=scenes.very(dice, dice.pick(scenes.STATES[:4])))


_HAVE = verbs.chosen(verbs.TRANSITIVE, "have")[0]


def _condition(dice: Dice, subject: NounPhrase, time: Adverbial | None) -> Pair:
    if dice.chance(0.4):
        back = scenes.another(dice, subject)
        clause = Clause(back, verbs.GOING[3], goal=scenes.whither(dice, verbs.GOING[3].kinds), time=time)
        return english_statement(clause), german_final(clause)
    english, german = dice.pick(
        (("rains", "regnet"), ("snows", "schneit"), ("is cold", "kalt ist"), ("is warm", "warm ist"))
    )
    if not time:
        return f"it {english}", f"es {german}"
    return f"it {english} {time.english}", f"es {time.german} {german}"
