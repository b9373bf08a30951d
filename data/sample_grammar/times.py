"""Expressions of time: days, clock times, dates, and the tenses they go with."""

from __future__ import annotations

from .clauses import Adverbial
from .dice import Dice
from .number_words import ENGLISH_SMALL, GERMAN_SMALL

WEEKDAYS = (
    ("Monday", "Montag"),
    ("Tuesday", "Dienstag"),
    ("Wednesday", "Mittwoch"),
    ("Thursday", "Donnerstag"),
    ("Friday", "Freitag"),
    ("Saturday", "Samstag"),
    ("Sunday", "Sonntag"),
)
MONTHS = (
    ("January", "Januar", 31),
    ("February", "Februar", 28),
    ("March", "März", 31),
    ("April", "April", 30),
    ("May", "Mai", 31),
    ("June", "Juni", 30),
    ("July", "Juli", 31),
    ("August", "August", 31),
    ("September", "September", 30),
    ("October", "Oktober", 31),
    ("November", "November", 30),
    ("December", "Dezember", 31),
)
SEASONS = (("spring", "Frühling"), ("summer", "Sommer"), ("autumn", "Herbst"), ("winter", "Winter"))
UNITS = (("days", "Tagen", 6), ("weeks", "Wochen", 4), ("months", "Monaten", 9), ("years", "Jahren", 12))

_NOW = (Adverbial("now", "jetzt"), Adverbial("today", "heute"), Adverbial("at the moment", "im Moment"))
_PAST = (
    Adverbial("yesterday", "gestern"),
    Adverbial("yesterday", "gestern"),
    Adverbial("last night", "gestern Abend"),
    Adverbial("this morning", "heute Morgen"),
    Adverbial("last week", "letzte Woche"),
    Adverbial("last month", "letzten Monat"),
    Adverbial("last year", "letztes Jahr"),
)
_FUTURE = (
    Adverbial("tomorrow", "morgen"),
    Adverbial("tomorrow", "morgen"),
    Adverbial("tomorrow morning", "morgen früh"),
    Adverbial("this evening", "heute Abend"),
    Adverbial("next week", "nächste Woche"),
    Adverbial("next month", "nächsten Monat"),
    Adverbial("next year", "nächstes Jahr"),
)
_HABIT = (
    Adverbial("every day", "jeden Tag"),
    Adverbial("every morning", "jeden Morgen"),
    Adverbial("every evening", "jeden Abend"),
    Adverbial("every week", "jede Woche"),
    Adverbial("in the morning", "am Morgen"),
    Adverbial("in the evening", "am Abend"),
)
OFTEN = (Adverbial("often", "oft"), Adverbial("always", "immer"), Adverbial("sometimes", "manchmal"))


def now(dice: Dice) -> Adverbial:
    """A time for what is going on."""
    return dice.pick(_NOW)


def past(dice: Dice) -> Adverbial:
    """A time for what is over."""
    kind = dice.weigh((("fixed", 6), ("weekday", 2), ("ago", 2), ("season", 1)))
    if kind == "weekday":
        return on_weekday(dice)
    if kind == "ago":
        span = _span(dice)
        return Adverbial(f"{span.english} ago", f"vor {span.german}")
    if kind == "season":
        english, german = dice.pick(SEASONS)
        return Adverbial(f"last {english}", f"letzten {german}")
    return dice.pick(_PAST)


def recently(dice: Dice) -> Adverbial:
    """A time of which one still knows how one felt."""
    return on_weekday(dice) if dice.chance(0.4) else dice.pick(_PAST[:4])


def soon(dice: Dice) -> Adverbial:
    """A time for which one can guess the weather."""
    return on_weekday(dice) if dice.chance(0.4) else dice.pick(_FUTURE[:4])


def future(dice: Dice) -> Adverbial:
    """A time for what will be."""
    kind = dice.weigh((("fixed", 6), ("weekday", 2), ("in", 1)))
    if kind == "weekday":
        return on_weekday(dice)
    if kind == "in":
        span = _span(dice)
        return Adverbial(f"in {span.english}", f"in {span.german}")
    return dice.pick(_FUTURE)


def habit(dice: Dice) -> Adverbial:
    """A time for what is done again and again."""
    kind = dice.weigh((("fixed", 6), ("weekday", 2), ("season", 1)))
    if kind == "weekday":
        return every_day(dice)
    if kind == "season":
        english, german = dice.pick(SEASONS)
        return Adverbial(f"in {english}", f"im {german}")
    return dice.pick(_HABIT)


def every_day(dice: Dice) -> Adverbial:
    """Every Monday."""
    english, german = dice.pick((("day", "Tag"), *WEEKDAYS))
    return Adverbial(f"every {english}", f"jeden {german}")


def on_weekday(dice: Dice) -> Adverbial:
    """On Monday."""
    english, german = dice.pick(WEEKDAYS)
    return Adverbial(f"on {english}", f"am {german}")


def on_date(dice: Dice, with_year: bool, years: tuple[int, int] = (1950, 2029)) -> Adverbial:
    """On 3 March, on 3 March 2024."""
    month, monat, days = dice.pick(MONTHS)
    day = dice.between(1, days)
    year = f" {dice.between(*years)}" if with_year else ""
    return Adverbial(f"on {day} {month}{year}", f"am {day}. {monat}{year}")


def at_clock(dice: Dice, hours: tuple[int, int] = (1, 12)) -> Adverbial:
    """At half past three, um halb vier."""
    clock = clock_time(dice, hours)
    return Adverbial(f"at {clock.english}", f"um {clock.german}")


def clock_time(dice: Dice, hours: tuple[int, int] = (1, 12)) -> Adverbial:
    """Half past three, halb vier: German looks ahead to the next hour."""
    hour = dice.between(*hours)
    following = hour % 12 + 1
    kind = dice.pick(("full", "half", "quarter past", "quarter to", "past", "to"))
    if kind == "full":
        return Adverbial(f"{ENGLISH_SMALL[hour]} o'clock", f"{'ein' if hour == 1 else GERMAN_SMALL[hour]} Uhr")
    if kind == "half":
        return Adverbial(f"half past {ENGLISH_SMALL[hour]}", f"halb {GERMAN_SMALL[following]}")
    if kind.startswith("quarter"):
        side = kind.removeprefix("quarter ")
        return Adverbial(f"a {kind} {ENGLISH_SMALL[hour]}", f"Viertel {_side(side)} {GERMAN_SMALL[hour]}")
    minutes, minuten = dice.pick((("five", "fünf"), ("ten", "zehn"), ("twenty", "zwanzig")))
    return Adverbial(f"{minutes} {kind} {ENGLISH_SMALL[hour]}", f"{minuten} {_side(kind)} {GERMAN_SMALL[hour]}")


def _side(english: str) -> str:
    return "nach" if english == "past" else "vor"


def _span(dice: Dice) -> Adverbial:
    english, german, most = dice.pick(UNITS)
    number = dice.between(2, most)
    return Adverbial(f"{ENGLISH_SMALL[number]} {english}", f"{GERMAN_SMALL[number]} {german}")
