"""The tense, mood and time that a clause may be put into."""

from __future__ import annotations

from dataclasses import replace

from . import times, verbs
from .clauses import Adverbial, Clause
from .dice import Dice
from .scenes import word_set

# The moods: what a verb may be put into.
_HABITS = word_set(
    "read drink eat cook clean wash wear visit call help play sleep work sing dance swim go walk drive talk wait "
    "buy answer write pick"
)
_PUNCTUAL = word_set("eat drink go drive call walk pick")
_CONSUMING = word_set("eat buy write read cook")
_NO_PERFECT = word_set("need have like know hear wear carry wait think dream live stay sit understand come go")
_SUDDEN = word_set("lose forget find")
_ONLY_CAN = word_set("see hear understand find")
_NO_MODAL = word_set("like know have lose forget need dream think")
_NO_FUTURE = _NO_MODAL | {"hear", "understand", "wear", "carry"}


def in_some_tense(dice: Dice, clause: Clause, negation: float = 0.12) -> Clause:
    """The clause in a tense, mood and time that suit its verb; perhaps negated."""
    verb = clause.verb
    moods = (
        (_going_on, 0 if verb.base in _SUDDEN else 5),
        (_habit, 3 if verb.base in _HABITS else 0),
        (_past, 5 if verb.base != "like" else 0),
        (_perfect, 0 if verb.base in _NO_PERFECT else 2),
        (_future, 0 if verb.base in _NO_FUTURE else 3),
        (_modal, 0 if verb.base in _NO_MODAL else 4),
    )
    told = dice.weigh(moods)(dice, clause)
    habit = told.tense == "present" and told.time and not told.modal
    plain = not (_vague(told) or told.often or told.already or habit or (told.place and told.accusative))
    return replace(told, negated=True) if plain and not told.negated and dice.chance(negation) else told


def in_the_real_world(dice: Dice, clause: Clause) -> Clause:
    """The clause as a present or past fact: what animals do is neither wanted nor planned."""
    return dice.pick((_going_on, _habit, _past))(dice, clause)


def _vague(clause: Clause) -> bool:
    # To deny "folgt einem Koch" or "trägt elf Koffer", German would choose other words.
    thing, person = clause.accusative, clause.dative
    return bool((thing and not thing.definite and not thing.denied) or (person and not person.definite))


def _going_on(dice: Dice, clause: Clause) -> Clause:
    if clause.verb.stative:
        return clause
    time = times.now(dice) if dice.chance(0.35) else None
    return replace(clause, tense="progressive", time=time)


def _habit(dice: Dice, clause: Clause) -> Clause:
    thing = clause.accusative
    if clause.verb.base in _CONSUMING and thing and thing.definite and not thing.pronoun:
        return _going_on(dice, clause)
    if dice.chance(0.4):
        return replace(clause, often=dice.pick(times.OFTEN))
    if clause.verb.base in _PUNCTUAL and dice.chance(0.3):
        return replace(clause, time=times.at_clock(dice))
    return replace(clause, time=times.habit(dice))


def _past(dice: Dice, clause: Clause) -> Clause:
    lasting = clause.verb.base in ("know", "live")
    return replace(clause, tense="past", time=times.past(dice) if not lasting and dice.chance(0.6) else None)


def _perfect(dice: Dice, clause: Clause) -> Clause:
    kind = dice.pick(("already", "never") if _vague(clause) else ("already", "never", "not yet"))
    if kind == "not yet":
        time, noch = Adverbial("yet", ""), Adverbial("", "noch")
        return replace(clause, tense="perfect", negated=True, already=noch, time=time)
    word = Adverbial("already", "schon") if kind == "already" else Adverbial("never", "noch nie")
    return replace(clause, tense="perfect", already=word)


def _future(dice: Dice, clause: Clause) -> Clause:
    return replace(clause, tense="future", time=times.future(dice) if dice.chance(0.6) else None)


def _modal(dice: Dice, clause: Clause) -> Clause:
    modal = verbs.MODALS[0] if clause.verb.base in _ONLY_CAN else dice.pick(verbs.MODALS)
    if modal.past and dice.chance(0.3):
        return replace(clause, modal=modal, tense="past", time=times.past(dice) if dice.chance(0.4) else None)
    time = dice.pick((Adverbial("today", "heute"), times.future(dice))) if dice.chance(0.35) else None
    return replace(clause, modal=modal, time=time)
