"""Families of sentences about where things and people are, go, and come from."""

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
from .declension import CASES, govern
from .dice import Dice
from .nouns import CITIES, noun_named, nouns_of, places_of
from .number_words import ENGLISH_SMALL, GERMAN_SMALL
from .simple_sentences import Pair
from .verbs import SINGLE

_BE = SINGLE["sein"]


def position(dice: Dice) -> Pair:
    """The cup is on the table (steht); the book is on the table (liegt); Anna puts it there (stellt, legt)."""
    flat = dice.chance(0.5)
    noun = dice.pick(nouns_of("flat" if flat else "upright"))
    food = "food" in noun.kinds
    spot = noun_named("table") if food else dice.pick(nouns_of("surface"))
    english, german = _SPOTS[0] if food else dice.pick(_SPOTS)
    base = phrases.the(spot, scenes.adjective(dice, spot, 0.15))
    item = phrases.the(noun, scenes.adjective(dice, noun, 0.3), scenes.several(dice, noun))
    moving = dice.chance(0.45)
    case = CASES.index("accusative" if moving else "dative")
    goal = Adverbial(f"{english} {base.english}", govern(german, base.german[case]))
    if moving:
        clause = Clause(scenes.person(dice), SINGLE["legen" if flat else "stellen"], accusative=item, goal=goal)
        clause = moods.in_some_tense(dice, clause, 0.08)
    else:
        verb = SINGLE["liegen" if flat else "stehen"]
        clause = Clause(item, verb, dice.pick(("present", "past")), negated=dice.chance(0.2), goal=goal)
    if not clause.negated and dice.chance(0.2):
        return f"{english_question(clause)}?", f"{german_after(clause, '', True)}?"
    return f"{english_statement(clause)}.", f"{german_statement(clause)}."


_SPOTS = (("on", "auf"), ("under", "unter"), ("next to", "neben"), ("in front of", "vor"), ("behind", "hinter"))


def animal(dice: Dice) -> Pair:
    """The black dog is running through the garden; is sleeping under the table; is coming out of the house."""
    noun = dice.pick(nouns_of("pet"))
    owner = dice.pick(("my", "your", "our"))
    describe = scenes.adjective(dice, noun)
    subject = phrases.owned(owner, noun, describe) if dice.chance(0.3) else phrases.the(noun, describe)
    verb, (english, german, case), kinds = dice.pick(_ANIMAL_ACTS)
    spot = dice.pick(nouns_of(*kinds))
    place = phrases.the(spot, scenes.adjective(dice, spot, 0.2))
    goal = Adverbial(f"{english} {place.english}", govern(german, place.german[CASES.index(case)]))
    clause = moods.in_the_real_world(dice, Clause(subject, verb, goal=goal))
    front = bool(clause.time) and dice.chance(0.5)
    return f"{english_statement(clause, front)}.", f"{german_statement(clause, front)}."


_SLEEP, _RUN, _COME = verbs.STAYING[0], SINGLE["laufen"], verbs.GOING[3]
_ANIMAL_ACTS = (
    (_SLEEP, ("under", "unter", "dative"), ("surface",)),
    (_SLEEP, ("on", "auf", "dative"), ("surface",)),
    (_SLEEP, ("behind", "hinter", "dative"), ("surface",)),
    (_SLEEP, ("in", "in", "dative"), ("home",)),
    (_RUN, ("through", "durch", "accusative"), ("home", "tidy", "town")),
    (_RUN, ("around", "um", "accusative"), ("building",)),
    (_RUN, ("into", "in", "accusative"), ("home",)),
    (_COME, ("out of", "aus", "dative"), ("home", "building")),
)


def journey(dice: Dice) -> Pair:
    """Anna is travelling to Berlin by train with her brother."""
    who = scenes.person(dice)
    english, german = dice.pick((("train", "Zug"), ("bus", "Bus"), ("car", "Auto")))
    means = Adverbial(f"by {english}", f"mit dem {german}")
    verb = dice.pick((SINGLE["reisen"], SINGLE["fliegen"]))
    goal = scenes.to_city(dice)
    if verb is SINGLE["fliegen"]:
        clause = Clause(who, verb, goal=goal, company=scenes.company(dice, who) if dice.chance(0.4) else None)
    else:
        clause = Clause(who, verb, goal=goal, company=means)
    clause = moods.in_some_tense(dice, clause)
    front = bool(clause.time and clause.time.german) and dice.chance(0.5)
    return f"{english_statement(clause, front)}.", f"{german_statement(clause, front)}."


def residence(dice: Dice) -> Pair:
    """Paul has lived in Vienna for three years: wohnt seit drei Jahren."""
    who = scenes.person(dice, definite=True)
    number = dice.between(2, 12)
    english, german = dice.pick(times.UNITS)[:2]
    verb = dice.pick(verbs.chosen(verbs.STAYING, "live work wait"))
    if verb.base == "wait":
        english, german, verb = "hours", "Stunden", replace(verb, past_participle="been waiting")
    place = scenes.where(dice, verb.kinds)
    since = Adverbial(f"for {ENGLISH_SMALL[number]} {english}", f"seit {GERMAN_SMALL[number]} {german}")
    clause = Clause(who, verb, "perfect", place=place, time=since)
    told = english_statement(clause)
    return f"{told}.", f"{german_statement(replace(clause, tense='present'))}."


def present_for(dice: Dice) -> Pair:
    """Anna is buying a present for her brother; is going to the park without him."""
    who = scenes.person(dice)
    if dice.chance(0.5):
        verb = dice.pick(verbs.chosen(verbs.TRANSITIVE, "buy write cook"))
        other = scenes.somebody(dice, who, False)
        item = scenes.thing(dice, verb, who)
        goal = Adverbial(f"for {other.english_object}", f"für {other.german[1]}")
        clause = Clause(who, verb, accusative=item, goal=goal)
    else:
        clause = Clause(who, verbs.GOING[0], goal=scenes.whither(dice, verbs.GOING[0].kinds))
        other = scenes.somebody(dice, who, False)
        clause = replace(clause, company=Adverbial(f"without {other.english_object}", f"ohne {other.german[1]}"))
    clause = moods.in_some_tense(dice, clause)
    front = bool(clause.time and clause.time.german) and dice.chance(0.4)
    return f"{english_statement(clause, front)}.", f"{german_statement(clause, front)}."


def origin(dice: Dice) -> Pair:
    """The letter is from my aunt (von); the tourist is from Rome (aus)."""
    past = dice.pick(("present", "past"))
    if dice.chance(0.5):
        noun = dice.pick(nouns_of("gift", "writable"))
        giver = scenes.somebody(dice, phrases.IT["n"], False)
        item = phrases.the(noun, scenes.adjective(dice, noun), scenes.several(dice, noun))
        goal = Adverbial(f"from {giver.english_object}", govern("von", giver.german[2]))
        clause = Clause(item, _BE, past, goal=goal)
    else:
        english, german = dice.pick(CITIES)
        goal = Adverbial(f"from {english}", f"aus {german}")
        clause = Clause(scenes.person(dice, definite=True), _BE, goal=goal)
    if dice.chance(0.3):
        return f"{english_question(clause)}?", f"{german_after(clause, '')}?"
    clause = replace(clause, negated=dice.chance(0.2))
    return f"{english_statement(clause)}.", f"{german_statement(clause)}."


def existence(dice: Dice) -> Pair:
    """There is a new museum in the village: Im Dorf gibt es ein neues Museum."""
    indoors = dice.chance(0.5)
    names = ("kitchen", "room", "house") if indoors else ("village", "city")
    place = dice.pick(tuple(place for place in places_of("home", "live") if place.noun.english in names))
    stock = nouns_of("furniture", "upright") if indoors else nouns_of("building")
    noun = dice.pick(tuple(noun for noun in stock if noun.english != "house" and "heavy" not in noun.kinds))
    where = scenes.at_place(place, phrases.the(place.noun, scenes.adjective(dice, place.noun, 0.2)))
    past, denied, plural = dice.chance(0.3), dice.chance(0.25), dice.chance(0.4)
    describe = scenes.adjective(dice, noun, 0.5)
    if denied:
        item = phrases.no(noun, describe, plural)
    elif plural:
        item = phrases.counted(dice.between(2, 12), noun, describe)
    else:
        item = phrases.some(noun, describe)
    be = ("were" if plural else "was") if past else ("are" if plural else "is")
    english = f"there {be} {item.english} {where.english}."
    return english, f"{where.german} {'gab' if past else 'gibt'} es {item.german[1]}."
