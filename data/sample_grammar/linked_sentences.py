"""Families of sentences with a relative or infinitive clause, or with two main clauses."""

from __future__ import annotations

from dataclasses import replace

from . import moods, phrases, scenes, verbs
from .clauses import (
    Adverbial,
    Clause,
    english_infinitive,
    english_statement,
    german_final,
    german_infinitive,
    german_statement,
)
from .dice import Dice
from .nouns import ADJECTIVES, Noun, nouns_of
from .phrases import NounPhrase
from .simple_sentences import Pair
from .verbs import SINGLE, Verb

_BE = SINGLE["sein"]


def relative(dice: Dice) -> Pair:
    """The man who lives in the village is my neighbour. I know the woman whom Anna is helping."""
    head, past, english, german = _with_relative(dice)
    if dice.chance(0.5):
        knower = scenes.person(dice)
        verb = dice.pick(verbs.chosen(verbs.TRANSITIVE, "know see like" if "person" in head.kinds else "need"))
        clause = Clause(knower, verb, accusative=phrases.the(head))
        return f"{english_statement(clause)} {english}.", f"{german_statement(clause)}, {german}."
    subject = phrases.the(head)
    if "person" in head.kinds and dice.chance(0.5):
        goal = scenes.very(dice, dice.pick(scenes.STATES))
    else:
        quality = ADJECTIVES[dice.pick(head.adjectives)]
        goal = scenes.graded(dice, quality)
    enriched = replace(
        subject, english=f"{subject.english} {english}", german=(f"{subject.german[0]}, {german},", "", "")
    )
    clause = Clause(enriched, _BE, "past" if past else "present", goal=goal)
    return f"{english_statement(clause)}.", f"{german_statement(clause)}."


def purpose(dice: Dice) -> Pair:
    """Anna is going to the market to buy apples: um Äpfel zu kaufen."""
    who = scenes.person(dice)
    shopping = dice.chance(0.4)
    verb = dice.pick(verbs.chosen(verbs.TRANSITIVE, "buy" if shopping else "look visit pick"))
    verb = replace(verb, kinds=("grocery",)) if shopping else verb
    goal = scenes.whither(dice, ("shop",) if shopping else ("meet",))
    main = moods.in_some_tense(dice, Clause(who, verbs.GOING[0], goal=goal), 0)
    aim = Clause(who, verb, accusative=scenes.thing(dice, verb, who, owned=True))
    front = bool(main.time and main.time.german) and dice.chance(0.4)
    main = main if front else replace(main, time=None)
    if main.negated:
        return purpose(dice)
    return (
        f"{english_statement(main, front)} {english_infinitive(aim)}.",
        f"{german_statement(main, front)}, um {german_infinitive(aim)}.",
    )


def attempt(dice: Dice) -> Pair:
    """Paul has tried to open the window: hat versucht, das Fenster zu öffnen."""
    who = scenes.person(dice)
    verb = dice.pick(verbs.chosen(verbs.TRANSITIVE + verbs.DATIVE, _EFFORTS))
    if verb in verbs.DATIVE:
        aim = Clause(who, verb, dative=scenes.somebody(dice, who, True))
    else:
        aim = Clause(who, verb, accusative=scenes.thing(dice, verb, who, owned=True))
    outer = SINGLE[dice.pick(("versuchen", "versuchen", "planen"))]
    told = moods.in_some_tense(dice, Clause(who, outer), 0.1)
    if told.often or told.already or told.modal:
        return attempt(dice)
    front = bool(told.time and told.time.german) and dice.chance(0.4)
    told = told if front else replace(told, time=None)
    return (
        f"{english_statement(told, front)} {english_infinitive(aim)}.",
        f"{german_statement(told, front)}, {german_infinitive(aim)}.",
    )


_EFFORTS = "find understand help repair open close sell photograph call read visit"


def joined(dice: Dice) -> Pair:
    """Anna is reading a book and Paul is writing a letter; ..., but ..."""
    first = moods.in_some_tense(dice, scenes.scene(dice, scenes.name(dice)), 0)
    other = scenes.another(dice, first.subject)
    second = scenes.scene(dice, other)
    second = replace(second, tense=first.tense, modal=None)
    if first.modal or first.often or first.already or first.tense == "present" or second.verb.stative:
        return joined(dice)
    front = bool(first.time) and dice.chance(0.5)
    first = first if front else replace(first, time=None)
    # After a fronted time, German would put the verb of a second clause with und before its subject.
    word, wort = ("but", ", aber") if front or dice.chance(0.4) else ("and", " und")
    return (
        f"{english_statement(first, front)}, {word} {english_statement(second)}.",
        f"{german_statement(first, front)}{wort} {german_statement(second)}.",
    )


def taken_up(dice: Dice) -> Pair:
    """The coat is expensive, but it is beautiful: er, sie or es by the noun's gender."""
    noun = dice.pick(
        tuple(
            noun
            for noun in nouns_of("goods", "portable", "building")
            if "food" not in noun.kinds and len(noun.adjectives) > 2
        )
    )
    one, two = dice.pick(noun.adjectives), dice.pick(noun.adjectives)
    if one == two or frozenset((one, two)) in _OPPOSITES or {one, two} <= scenes.COLOURS:
        return taken_up(dice)
    first = Clause(scenes.described(dice, replace(noun, kinds=noun.kinds | {"single"})), _BE, goal=_plain(one))
    second = Clause(phrases.IT[noun.gender], _BE, goal=scenes.graded(dice, ADJECTIVES[two]))
    denied = dice.chance(0.35)
    first = replace(first, negated=denied)
    if dice.chance(0.4):
        first, second = replace(first, tense="past"), replace(second, tense="past")
    return (
        f"{english_statement(first)}, but {english_statement(second)}.",
        f"{german_statement(first)}, aber {german_statement(second)}.",
    )


_OPPOSITES = frozenset(
    frozenset(words.split("/"))
    for words in ("old/new", "big/small", "expensive/cheap", "long/short", "cold/hot", "hot/fresh", "empty/new")
)


def need_it(dice: Dice) -> Pair:
    """Anna is looking for the key because she needs it: ihn, sie or es by the noun's gender."""
    who = scenes.person(dice)
    back = scenes.same_person(who)
    if not back:
        return need_it(dice)
    verb = dice.pick(verbs.chosen(verbs.TRANSITIVE, "look buy repair wash"))
    noun = dice.pick(tuple(noun for noun in nouns_of(*verb.kinds) if not noun.kinds & {"animal", "young", "food"}))
    owner = who.owner if verb.base != "buy" and noun.kinds & {"portable", "clothes", "vehicle"} else ""
    item = (
        phrases.owned(owner, noun) if owner and dice.chance(0.5) else phrases.the(noun, scenes.adjective(dice, noun))
    )
    selling = (verb.base == "repair" or "vehicle" in noun.kinds) and dice.chance(0.5)
    modal = verbs.MODALS[2] if selling else None
    reason = Clause(
        back,
        verbs.chosen(verbs.TRANSITIVE, "sell" if selling else "need")[0],
        modal=modal,
        accusative=phrases.IT[noun.gender],
    )
    first = Clause(who, verb, "progressive", accusative=item)
    return (
        f"{english_statement(first)} because {english_statement(reason)}.",
        f"{german_statement(first)}, weil {german_final(reason)}.",
    )


def _with_relative(dice: Dice) -> tuple[Noun, bool, str, str]:
    kind = dice.pick(("who", "who", "whom", "that", "dative"))
    if kind == "that":
        verb = dice.pick(verbs.chosen(verbs.TRANSITIVE, "read buy repair look wear write sell"))
        nouns = nouns_of(*verb.kinds)
        head = dice.pick(tuple(noun for noun in nouns if noun.adjectives and not noun.kinds & {"pet", "young"}))
        return head, *_object_relative(dice, verb, "that", phrases.RELATIVE[head.gender][1])
    head = dice.pick(tuple(noun for noun in nouns_of("adult") if "kin" not in noun.kinds))
    pronouns = phrases.RELATIVE[head.gender]
    if kind == "who":
        clause = moods.in_some_tense(dice, scenes.scene(dice, NounPhrase("who", "", pronouns, head.gender)), 0.1)
        return head, clause.tense == "past", english_statement(clause), german_final(clause)
    if kind == "dative":
        return head, *_object_relative(dice, dice.pick(verbs.DATIVE), "whom", pronouns[2])
    return head, *_object_relative(
        dice, dice.pick(verbs.chosen(verbs.TRANSITIVE, "visit call invite pick")), "whom", pronouns[1]
    )


def _object_relative(dice: Dice, verb: Verb, word: str, pronoun: str) -> tuple[bool, str, str]:
    clause = moods.in_some_tense(dice, Clause(scenes.person(dice, definite=True), verb), 0)
    return clause.tense == "past", f"{word} {english_statement(clause)}", f"{pronoun} {german_final(clause)}"


def _plain(word: str) -> Adverbial:
    return Adverbial(word, ADJECTIVES[word].german)
