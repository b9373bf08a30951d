"""Families of sentences with a subordinate, relative or infinitive clause, or two joined clauses."""

from __future__ import annotations

from dataclasses import replace

from . import phrases, scenes, times, verbs
from .clauses import (
    Adverbial,
    Clause,
    english_infinitive,
    english_question,
    english_statement,
    german_after,
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


def because(dice: Dice) -> Pair:
    """Anna is drinking water because she is thirsty; is not working today because she is sick."""
    who = scenes.person(dice, definite=True)
    back = scenes.same_person(who)
    if not back:
        return because(dice)
    scene = scenes.scene(dice, who)
    clause = scenes.in_some_tense(dice, scene, 0.35)
    reasoned = clause.negated or _motive(clause.verb)
    # The modals, the future and the perfect need reasons of their own; a verb of state rarely has one.
    if (
        scene.verb.stative
        or clause.tense in ("future", "perfect")
        or clause.modal in verbs.MODALS[3:]
        or not reasoned
    ):
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
    thinker = scenes.person(dice, definite=True)
    inner = scenes.in_some_tense(dice, scenes.scene(dice, scenes.another(dice, thinker)))
    verb = SINGLE[dice.pick(("wissen", "glauben", "hoffen", "sagen"))]
    tense = "past" if verb.base == "say" and dice.chance(0.5) else "present"
    outer = Clause(thinker, verb, tense)
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
    thinker = scenes.person(dice, definite=True)
    inner = scenes.in_some_tense(dice, scenes.scene(dice, scenes.another(dice, thinker)), 0)
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
    time = times.future(dice) if future and dice.chance(0.4) else None
    english, german = _condition(dice, main.subject, time)
    main = replace(main, tense="future") if future else replace(main, modal=dice.pick(verbs.MODALS[:2]))
    return f"if {english}, {english_statement(main)}.", f"wenn {german}, {german_after(main, '', True)}."


_RAINY_DAY = "stay go drive walk work sleep play read visit cook clean tidy help call pick wait repair"


def relative(dice: Dice) -> Pair:
    """The man who lives in the village is my neighbour. I know the woman whom Anna is helping."""
    head, english, german = _with_relative(dice)
    if dice.chance(0.5):
        knower = scenes.person(dice)
        verb = dice.pick(verbs.chosen(verbs.TRANSITIVE, "know see like" if "person" in head.kinds else "need"))
        clause = Clause(knower, verb, accusative=phrases.the(head))
        return f"{english_statement(clause)} {english}.", f"{german_statement(clause)}, {german}."
    subject = phrases.the(head)
    if "person" in head.kinds and dice.chance(0.5):
        goal = _very(dice, dice.pick(scenes.STATES))
    else:
        quality = ADJECTIVES[dice.pick(head.adjectives)]
        goal = scenes.graded(dice, quality)
    enriched = replace(
        subject, english=f"{subject.english} {english}", german=(f"{subject.german[0]}, {german},", "", "")
    )
    clause = Clause(enriched, _BE, dice.pick(("present", "present", "past")), goal=goal)
    return f"{english_statement(clause)}.", f"{german_statement(clause)}."


def purpose(dice: Dice) -> Pair:
    """Anna is going to the market to buy apples: um Äpfel zu kaufen."""
    who = scenes.person(dice)
    shopping = dice.chance(0.4)
    verb = dice.pick(verbs.chosen(verbs.TRANSITIVE, "buy" if shopping else "look visit pick"))
    verb = replace(verb, kinds=("food",)) if shopping else verb
    goal = scenes.whither(dice, ("shop",) if shopping else ("meet",))
    main = scenes.in_some_tense(dice, Clause(who, verbs.GOING[0], goal=goal), 0)
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
    told = scenes.in_some_tense(dice, Clause(who, outer), 0.1)
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
    first = scenes.in_some_tense(dice, scenes.scene(dice, scenes.name(dice)), 0)
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
    noun = dice.pick(tuple(noun for noun in nouns_of(*verb.kinds) if not noun.kinds & {"animal", "young"}))
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


def _reason(dice: Dice, clause: Clause, back: NounPhrase) -> Clause:
    if clause.negated:
        return _hindrance(dice, back)
    motive = _motive(clause.verb)
    if motive == "errand":
        verb = dice.pick(verbs.chosen(verbs.TRANSITIVE, "visit pick"))
        return Clause(back, verb, modal=verbs.MODALS[2], accusative=scenes.somebody(dice, back, False))
    if motive == "time":
        return Clause(back, _HAVE, goal=Adverbial("time", "Zeit"))
    english, german = motive.split("/")
    quality = _very(dice, Adverbial(english, german))
    return Clause(phrases.IT["n"] if english in ("cold", "warm", "important") else back, _BE, goal=quality)


def _motive(verb: Verb) -> str:
    return next((motive for motive, bases in _MOTIVES.items() if verb.base in bases.split()), "")


_MOTIVES = {
    "hungry/hungrig": "eat",
    "thirsty/durstig": "drink",
    "tired/müde": "sleep sit",
    "sick/krank": "stay",
    "happy/glücklich": "sing dance",
    "cold/kalt": "wear put close",
    "warm/warm": "swim open",
    "important/wichtig": "call look answer thank wait write bring talk work",
    "time/Zeit": "visit help cook clean tidy repair wash read play invite photograph",
    "errand": "go come drive walk arrive",
}


def _hindrance(dice: Dice, who: NounPhrase) -> Clause:
    if dice.chance(0.2):
        return Clause(who, _HAVE, goal=Adverbial("no time", "keine Zeit"))
    return Clause(who, _BE, goal=_very(dice, dice.pick(scenes.STATES[:4])))


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


def _with_relative(dice: Dice) -> tuple[Noun, str, str]:
    kind = dice.pick(("who", "who", "whom", "that", "dative"))
    if kind == "that":
        verb = dice.pick(verbs.chosen(verbs.TRANSITIVE, "read buy repair look wear write sell"))
        nouns = nouns_of(*verb.kinds)
        head = dice.pick(tuple(noun for noun in nouns if noun.adjectives and not noun.kinds & {"pet", "young"}))
        return head, *_object_relative(dice, verb, "that", phrases.RELATIVE[head.gender][1])
    head = dice.pick(tuple(noun for noun in nouns_of("adult") if "kin" not in noun.kinds))
    pronouns = phrases.RELATIVE[head.gender]
    if kind == "who":
        clause = scenes.in_some_tense(dice, scenes.scene(dice, NounPhrase("who", "", pronouns, head.gender)), 0.1)
        return head, english_statement(clause), german_final(clause)
    if kind == "dative":
        return head, *_object_relative(dice, dice.pick(verbs.DATIVE), "whom", pronouns[2])
    return head, *_object_relative(
        dice, dice.pick(verbs.chosen(verbs.TRANSITIVE, "visit call invite pick")), "whom", pronouns[1]
    )


def _object_relative(dice: Dice, verb: Verb, word: str, pronoun: str) -> Pair:
    clause = scenes.in_some_tense(dice, Clause(scenes.person(dice, definite=True), verb), 0)
    return f"{word} {english_statement(clause)}", f"{pronoun} {german_final(clause)}"


def _plain(word: str) -> Adverbial:
    return Adverbial(word, ADJECTIVES[word].german)


def _very(dice: Dice, goal: Adverbial) -> Adverbial:
    if not dice.chance(0.35):
        return goal
    return Adverbial(f"very {goal.english}", f"sehr {goal.german}")
