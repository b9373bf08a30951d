"""Families of sentences about numbers, prices, clock times and dates."""

from __future__ import annotations

from dataclasses import replace

from . import phrases, scenes, times, verbs
from .clauses import Adverbial, Clause, english_question, english_statement, german_after, german_statement
from .dice import Dice
from .nouns import CITIES, noun_named, nouns_of, places_of
from .number_words import english_digits, english_number, german_digits, german_number
from .phrases import NounPhrase
from .simple_sentences import Pair
from .verbs import SINGLE

_BE = SINGLE["sein"]
_ARRIVE = next(verb for verb in verbs.STAYING if verb.base == "arrive")
_NEED, _HAVE, _BUY, _SELL = (
    next(verb for verb in verbs.TRANSITIVE if verb.base == base) for base in ("need", "have", "buy", "sell")
)
_CENTS = (0, 20, 25, 30, 40, 50, 60, 75, 80, 90, 95, 99)


_PRICES = (
    ("apple cake egg newspaper", (1, 5)),
    ("book novel cup glass ticket umbrella", (5, 60)),
    ("coat jacket shirt dress skirt hat bag", (15, 199)),
    ("table chair bed cupboard lamp computer camera watch bicycle", (49, 999)),
)


def price(dice: Dice) -> Pair:
    """The coat costs €89.50: Der Mantel kostet 89,50 €."""
    names, (low, high) = dice.pick(_PRICES)
    noun = noun_named(dice.pick(names.split()))
    euros, cents = dice.between(low, high), dice.pick(_CENTS)
    item = scenes.described(dice, noun)
    amount = Adverbial(f"€{euros}.{cents:02d}", f"{euros},{cents:02d} €")
    if not cents:
        amount = Adverbial(f"{english_number(euros)} euros", f"{german_number(euros)} Euro")
    return _costing(dice, item, amount)


def big_price(dice: Dice) -> Pair:
    """The house costs two hundred and fifty thousand euros; €250,000."""
    noun = noun_named("car") if dice.chance(0.3) else dice.pick(nouns_of("building"))
    if noun.english == "car":
        number = dice.between(2, 60) * 1000
    else:
        number = dice.between(15, 120) * dice.pick((10_000, 50_000))
    words = Adverbial(f"{english_number(number)} euros", f"{german_number(number)} Euro")
    digits = Adverbial(f"€{english_digits(number)}", f"{german_digits(number)} €")
    return _costing(
        dice, scenes.described(dice, replace(noun, kinds=frozenset({"single"}))), dice.pick((words, digits))
    )


def inhabitants(dice: Dice) -> Pair:
    """Vienna has 1,234,567 inhabitants; the village had three hundred and twelve inhabitants."""
    number = some_number(dice)
    words = english_number(number), german_number(number)
    if dice.chance(0.5):
        words = english_digits(number), german_digits(number)
    town = next(
        place for place in places_of("live") if place.noun.english == ("village" if number < 20_000 else "city")
    )
    subject = phrases.the(town.noun, scenes.adjective(dice, town.noun, 0.4))
    if number > 100_000 and dice.chance(0.6):
        english, german = dice.pick(CITIES)
        subject = NounPhrase(english, english, (german, german, german), "n")
    goal = Adverbial(f"{words[0]} inhabitants", f"{words[1]} Einwohner")
    clause = Clause(subject, _HAVE, dice.pick(("present", "present", "past")), goal=goal)
    return f"{english_statement(clause)}.", f"{german_statement(clause)}."


def some_number(dice: Dice) -> int:
    """A number from 2 to 9,999,999, small ones oftener, none that ends in 01 (einhundertein or einhunderteins?)."""
    top = dice.weigh(((99, 3), (999, 4), (9999, 3), (99_999, 3), (999_999, 4), (9_999_999, 4)))
    number = dice.between(max(2, top // 10), top)
    rounding = dice.pick((1, 1, 10, 100, 1000))
    number = max(2, number // rounding * rounding) if number > rounding * 10 else number
    return number + 1 if number % 100 == 1 else number


def counting(dice: Dice) -> Pair:
    """Anna needs twenty-one chairs. How many chairs does Anna need?"""
    noun = dice.pick(tuple(noun for noun in nouns_of("goods", "food") if "single" not in noun.kinds))
    who = scenes.person(dice, definite=True)
    if dice.chance(0.25):
        clause = Clause(who, dice.pick((_NEED, _HAVE)), dice.pick(("present", "past")))
        english, german = f"how many {noun.english_plural}", f"wie viele {noun.german_plural}"
        return f"{english_question(clause, english)}?", f"{german_after(clause, german)}?"
    number = dice.between(2, 99) if dice.chance(0.7) else dice.between(100, 999)
    number += number % 100 == 1
    item = phrases.counted(number, noun, scenes.adjective(dice, noun), in_words=number < 13 or dice.chance(0.8))
    verb = dice.pick((_NEED, _HAVE, _BUY, _SELL))
    clause = Clause(who, verb, dice.pick(("past", "present" if verb.stative else "future")), accusative=item)
    return f"{english_statement(clause)}.", f"{german_statement(clause)}."


def number_itself(dice: Dice) -> Pair:
    """The number is twenty-one; Paul is counting to one hundred."""
    number = some_number(dice) if dice.chance(0.7) else dice.between(2, 99)
    english, german = english_number(number), german_number(number)
    if dice.chance(0.5):
        what, was = dice.pick(
            (("the number", "die Zahl"), ("the answer", "die Antwort"), ("the result", "das Ergebnis"))
        )
        past = dice.chance(0.3)
        return f"{what} {'was' if past else 'is'} {english}.", f"{was} {'war' if past else 'ist'} {german}."
    who = scenes.name(dice)
    modal, verb = dice.pick((("can count", "kann"), ("has to count", "muss"), ("wants to count", "will")))
    return f"{who.english} {modal} to {english}.", f"{who.german[0]} {verb} bis {german} zählen."


def stock(dice: Dice) -> Pair:
    """There are 2,350 books in the library: In der Bibliothek gibt es 2.350 Bücher."""
    names, noun, most = dice.pick(_STOCKS)
    place = dice.pick(tuple(place for place in places_of("building", "town", "live") if place.noun.english in names))
    number, words = dice.between(13, 99) if dice.chance(0.4) else dice.between(100, most), dice.chance(0.5)
    number += number % 100 == 1
    item = phrases.counted(number, noun_named(noun), None, in_words=words)
    where = scenes.at_place(place, phrases.the(place.noun, scenes.adjective(dice, place.noun)))
    past = dice.chance(0.3)
    return (
        f"there {'were' if past else 'are'} {item.english} {where.english}.",
        f"{where.german} {'gab' if past else 'gibt'} es {item.german[1]}.",
    )


_STOCKS = (
    (("library", "school"), "book", 9999),
    (("library",), "novel", 9999),
    (("museum", "hotel"), "picture", 999),
    (("school",), "child", 999),
    (("village", "city"), "house", 9999),
    (("village", "city"), "tourist", 9999),
    (("hotel", "hospital", "school"), "window", 999),
    (("hotel", "theatre", "hospital"), "door", 999),
)


def age(dice: Dice) -> Pair:
    """My brother is twenty-one years old; the church is 350 years old."""
    if dice.chance(0.6):
        subject, number = scenes.person(dice, young=False, definite=True), dice.between(18, 99)
    else:
        place = noun_named(dice.pick(("church", "house", "library", "school", "theatre", "hotel")))
        subject, number = scenes.described(dice, replace(place, kinds=frozenset({"single"}))), dice.between(100, 999)
    number += number % 100 == 1
    in_words = dice.chance(0.75)
    english, german = (english_number(number), german_number(number)) if in_words else (str(number), str(number))
    clause = Clause(subject, _BE, goal=Adverbial(f"{english} years old", f"{german} Jahre alt"))
    if dice.chance(0.15):
        return f"{english_question(clause)}?", f"{german_after(clause, '')}?"
    return f"{english_statement(clause)}.", f"{german_statement(clause)}."


def birthday(dice: Dice) -> Pair:
    """Anna was born on 3 March 1998: wurde am 3. März 1998 geboren."""
    who = scenes.person(dice, young=False, definite=True)
    finite = "wurden" if who.plural else ("wurde", "wurdest", "wurde")[who.person - 1]
    year = dice.between(1940, 2002)
    when = Adverbial(f"in {year}", f"im Jahr {year}")
    if dice.chance(0.6):
        when = times.on_date(dice, dice.chance(0.7), (1940, 2002))
    elif dice.chance(0.5):
        english, german = dice.pick(CITIES)
        when = Adverbial(f"in {english} {when.english}", f"{when.german} in {german}")
    past = english_statement(Clause(who, _BE, "past"))
    return f"{past} born {when.english}.", f"{who.german[0]} {finite} {when.german} geboren."


def appointment(dice: Dice) -> Pair:
    """The film starts at half past seven; the exam is on 3 March 2024."""
    english, german, gender = dice.pick(_EVENTS)
    subject = NounPhrase(f"the {english}", f"the {english}", (f"{_ARTICLES[gender]} {german}", "", ""), gender)
    verb = SINGLE["beginnen"] if dice.chance(0.6) else _BE
    tense = dice.pick(("past", "present", "future" if verb is not _BE else "past"))
    dated = dice.chance(0.5)
    years = (1990, 2024) if tense == "past" else (2027, 2040)
    when = times.on_date(dice, dice.chance(0.6), years) if dated else times.at_clock(dice)
    if not dated and dice.chance(0.3):
        day = times.on_weekday(dice)
        when = Adverbial(f"{when.english} {day.english}", f"{day.german} {when.german}")
    clause = Clause(subject, verb, tense, goal=when)
    if dice.chance(0.15):
        return f"{english_question(clause)}?", f"{german_after(clause, '')}?"
    clause = replace(clause, negated=dice.chance(0.08))
    return f"{english_statement(clause)}.", f"{german_statement(clause)}."


_ARTICLES = {"m": "der", "f": "die", "n": "das"}
_EVENTS = (
    ("film", "Film", "m"),
    ("course", "Kurs", "m"),
    ("concert", "Konzert", "n"),
    ("game", "Spiel", "n"),
    ("exam", "Prüfung", "f"),
    ("party", "Feier", "f"),
    ("meeting", "Besprechung", "f"),
    ("exhibition", "Ausstellung", "f"),
)


def timetable(dice: Dice) -> Pair:
    """The train to Berlin leaves at ten past nine; the bus from Rome arrived at one o'clock."""
    (english, german), (city, stadt) = dice.pick((("train", "Zug"), ("bus", "Bus"))), dice.pick(CITIES)
    arriving = dice.chance(0.5)
    way = (f"from {city}", f"aus {stadt}") if arriving else (f"to {city}", f"nach {stadt}")
    subject = NounPhrase(f"the {english} {way[0]}", "", (f"der {german} {way[1]}", "", ""), "m")
    verb = _ARRIVE if arriving else SINGLE["abfahren"]
    clause = Clause(subject, verb, dice.pick(("present", "past", "future")), goal=times.at_clock(dice))
    if dice.chance(0.25):
        return f"{english_question(clause)}?", f"{german_after(clause, '')}?"
    return f"{english_statement(clause)}.", f"{german_statement(clause)}."


def getting_up(dice: Dice) -> Pair:
    """On Monday, I will get up at half past six; every day I get up ..."""
    tense = dice.pick(("present", "past", "future"))
    times_of = {"present": times.every_day, "past": times.on_weekday, "future": times.on_weekday}
    day = times_of[tense](dice)
    clause = Clause(
        scenes.person(dice, definite=True), SINGLE["aufstehen"], tense, time=day, goal=times.at_clock(dice, (5, 9))
    )
    return f"{english_statement(clause, True)}.", f"{german_statement(clause, True)}."


def clock(dice: Dice) -> Pair:
    """It is half past three: Es ist halb vier."""
    time = times.clock_time(dice)
    already, schon = dice.pick((("", ""), ("already ", "schon ")))
    return f"it is {already}{time.english}.", f"es ist {schon}{time.german}."


def distance(dice: Dice) -> Pair:
    """It is 350 kilometres from Berlin to Rome: Von Berlin nach Rom sind es 350 Kilometer."""
    (city, stadt), (other, andere) = dice.pick(CITIES), dice.pick(CITIES)
    number = dice.between(15, 150) * 10
    if city == other:
        return distance(dice)
    words = dice.chance(0.5)
    english, german = (
        (english_number(number), german_number(number)) if words else (english_digits(number), german_digits(number))
    )
    return (
        f"it is {english} kilometres from {city} to {other}.",
        f"von {stadt} nach {andere} sind es {german} Kilometer.",
    )


def _costing(dice: Dice, item: NounPhrase, amount: Adverbial) -> Pair:
    clause = Clause(item, SINGLE["kosten"], dice.pick(("present", "past")), goal=amount)
    if dice.chance(0.1):
        asked = replace(clause, goal=None)
        return f"{english_question(asked, 'how much')}?", f"{german_after(asked, 'wie viel')}?"
    return f"{english_statement(clause)}.", f"{german_statement(clause)}."
