"""Families of statements, questions and descriptions."""

from __future__ import annotations

from dataclasses import replace

from . import moods, phrases, scenes, times, verbs
from .clauses import (
    Adverbial,
    Clause,
    english_question,
    english_statement,
    german_after,
    german_statement,
)
from .dice import Dice
from .nouns import ADJECTIVES, nouns_of
from .verbs import SINGLE

Pair = tuple[str, str]


_BE = SINGLE["sein"]


def statement(dice: Dice) -> Pair:
    """Anna did not buy the book yesterday. / Yesterday Anna ..."""
    clause = moods.in_some_tense(dice, scenes.scene(dice))
    front = bool(clause.time and clause.time.german) and dice.chance(0.45)
    return f"{english_statement(clause, front)}.", f"{german_statement(clause, front)}."


def statement_with_place(dice: Dice) -> Pair:
    """Anna is reading a book in the garden; is dancing with her brother in the park."""
    clause = replace(scenes.scene(dice), company=None)
    if clause.verb in verbs.TRANSITIVE and clause.verb.base in _SOMEWHERE.split():
        kinds = ("shop",) if clause.verb.base == "buy" else ("home", "rest")
        clause = replace(clause, place=scenes.where(dice, kinds))
    elif clause.verb in verbs.STAYING + verbs.GOING and clause.verb.base not in ("drive", "come"):
        clause = replace(clause, company=scenes.company(dice, clause.subject))
    clause = moods.in_some_tense(dice, clause, 0)
    front = bool(clause.time and clause.time.german) and dice.chance(0.45)
    return f"{english_statement(clause, front)}.", f"{german_statement(clause, front)}."


_SOMEWHERE = "read write see find buy eat drink"


def yes_no_question(dice: Dice) -> Pair:
    """Does Anna often read the newspaper? Has she ever ...?"""
    subject = phrases.PRONOUNS[1] if dice.chance(0.4) else scenes.another(dice, phrases.PRONOUNS[0])
    clause = moods.in_some_tense(dice, scenes.scene(dice, subject), 0)
    if clause.tense == "perfect":
        word = dice.pick((Adverbial("already", "schon"), Adverbial("ever", "schon einmal")))
        clause = replace(clause, negated=False, time=None, already=word)
    return f"{english_question(clause)}?", f"{german_after(clause, '', keep_time=True)}?"


def wh_question(dice: Dice) -> Pair:
    """What is the woman buying? Who ...? Where ...? When ...? Why ...?"""
    subject = phrases.WHO if dice.chance(0.2) else scenes.another(dice, phrases.PRONOUNS[0])
    clause = moods.in_some_tense(dice, scenes.scene(dice, subject), 0)
    if subject is phrases.WHO:
        return f"{english_statement(clause)}?", f"{german_statement(clause)}?"
    question = "why"
    if clause.accusative and clause.verb.kinds[0] not in ("person", "animal") and dice.chance(0.8):
        question, clause = "what", replace(clause, accusative=None)
    elif clause.verb in verbs.STAYING and dice.chance(0.8):
        question, clause = "where", replace(clause, place=None)
    elif clause.tense in ("past", "future") and not clause.verb.stative and dice.chance(0.5):
        question, clause = "when", replace(clause, time=None)
    return f"{english_question(clause, question)}?", f"{german_after(clause, _GERMAN_QUESTIONS[question], True)}?"


_GERMAN_QUESTIONS = {"what": "was", "where": "wo", "when": "wann", "why": "warum"}


def description(dice: Dice) -> Pair:
    """The coat is not very expensive. Was the house old?"""
    noun = dice.pick(tuple(noun for noun in nouns_of(*_DESCRIBED) if noun.adjectives))
    subject = scenes.described(dice, noun)
    quality = ADJECTIVES[dice.pick(noun.adjectives)]
    clause = Clause(subject, _BE, dice.pick(("present", "present", "past")), goal=scenes.graded(dice, quality))
    if dice.chance(0.2):
        return f"{english_question(clause)}?", f"{german_after(clause, '')}?"
    clause = replace(clause, negated=dice.chance(0.25))
    return f"{english_statement(clause)}.", f"{german_statement(clause)}."


_DESCRIBED = ("person", "animal", "goods", "portable", "food", "readable", "building", "town", "walk", "tidy")


def state(dice: Dice) -> Pair:
    """Anna was very tired yesterday."""
    subject = scenes.person(dice, definite=True)
    goal = dice.pick(scenes.STATES)
    if dice.chance(0.5):
        grade = dice.pick((Adverbial("very", "sehr"), Adverbial("still", "immer noch")))
        goal = Adverbial(f"{grade.english} {goal.english}", f"{grade.german} {goal.german}")
    past = dice.chance(0.5)
    time = times.recently(dice) if past and dice.chance(0.6) else None
    denied = dice.chance(0.2) and not goal.english.startswith("still")
    clause = Clause(subject, _BE, "past" if past else "present", negated=denied, time=time, goal=goal)
    if dice.chance(0.2) and subject.english != "I":
        clause = replace(clause, negated=False)
        return f"{english_question(clause)}?", f"{german_after(clause, '', True)}?"
    front = bool(time) and dice.chance(0.4)
    return f"{english_statement(clause, front)}.", f"{german_statement(clause, front)}."


def comparison(dice: Dice) -> Pair:
    """The coat is more expensive than the jacket; as old as ..."""
    group = nouns_of(*dice.pick((("clothes",), ("furniture",), ("adult",), ("animal",), ("building",), ("vehicle",))))
    first, second = dice.pick(group), dice.pick(group)
    shared = tuple(word for word in first.adjectives if word in second.adjectives)
    comparable = tuple(word for word in shared if ADJECTIVES[word].german_comparative != "-")
    if first == second or not comparable:
        return comparison(dice)
    quality = ADJECTIVES[dice.pick(comparable)]
    one, other = scenes.described(dice, first, 0), scenes.described(dice, second, 0)
    kind = dice.pick(("than", "than", "as", "not as"))
    if kind == "than":
        words = f"{quality.english_comparative} than", f"{quality.german_comparative} als"
    else:
        words = f"as {quality.english} as", f"so {quality.german} wie"
    goal = Adverbial(f"{words[0]} {other.english}", f"{words[1]} {other.german[0]}")
    clause = Clause(one, _BE, dice.pick(("present", "past")), negated=kind == "not as", goal=goal)
    return f"{english_statement(clause)}.", f"{german_statement(clause)}."


def profession(dice: Dice) -> Pair:
    """Anna is a doctor: Ärztin; Paul is a doctor: Arzt."""
    who = scenes.name(dice)
    english, male, female = dice.pick(_PROFESSIONS)
    goal = Adverbial(f"{'an' if english[0] in 'aeiou' else 'a'} {english}", female if who.gender == "f" else male)
    if dice.chance(0.35):
        modal = dice.pick((verbs.MODALS[2], verbs.MODALS[4]))
        clause = Clause(who, SINGLE["werden"], modal=modal, goal=goal)
    else:
        clause = Clause(who, _BE, dice.pick(("present", "past")), goal=goal)
    if dice.chance(0.25):
        return f"{english_question(clause)}?", f"{german_after(clause, '')}?"
    return f"{english_statement(clause)}.", f"{german_statement(clause)}."


_PROFESSIONS = (
    ("doctor", "Arzt", "Ärztin"),
    ("teacher", "Lehrer", "Lehrerin"),
    ("cook", "Koch", "Köchin"),
    ("student", "Student", "Studentin"),
    ("police officer", "Polizist", "Polizistin"),
    ("engineer", "Ingenieur", "Ingenieurin"),
    ("baker", "Bäcker", "Bäckerin"),
    ("painter", "Maler", "Malerin"),
)
