"""Cardinal numbers from 0 to 9,999,999 in words and in digits."""

from __future__ import annotations

# fmt: off
ENGLISH_SMALL = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
    "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)
ENGLISH_TENS = (
    "-", "-", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety",
)
GERMAN_SMALL = (
    "null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun", "zehn", "elf",
    "zwölf", "dreizehn", "vierzehn", "fünfzehn", "sechzehn", "siebzehn", "achtzehn", "neunzehn",
)
GERMAN_TENS = (
    "-", "-", "zwanzig", "dreißig", "vierzig", "fünfzig", "sechzig", "siebzig", "achtzig", "neunzig",
)
# fmt: on


def english_number(number: int) -> str:
    """`number` in British words: 1234567 is "one million two hundred and thirty-four thousand ..."."""
    millions, below_million = divmod(number, 1_000_000)
    thousands, below_thousand = divmod(below_million, 1000)
    words = []
    if millions:
        words.append(f"{_english_below_thousand(millions)} million")
    if thousands:
        words.append(f"{_english_below_thousand(thousands)} thousand")
    if below_thousand or not words:
        joint = "and " if words and below_thousand < 100 else ""
        words.append(joint + _english_below_thousand(below_thousand))
    return " ".join(words)


def german_number(number: int) -> str:
    """`number` in words: one word below a million, with "Million(en)" standing apart (Duden)."""
    millions, below_million = divmod(number, 1_000_000)
    thousands, below_thousand = divmod(below_million, 1000)
    words = []
    if millions:
        words.append("eine Million" if millions == 1 else f"{_german_below_thousand(millions)} Millionen")
    if below_million or not words:
        # "eins" stands only at the very end: einundzwanzig, einhundert, eintausend, but einhunderteins.
        front = _german_below_thousand(thousands).removesuffix("s" if thousands % 100 == 1 else "\0") + "tausend"
        back = _german_below_thousand(below_thousand) if below_thousand or not thousands else ""
        words.append((front if thousands else "") + back)
    return " ".join(words)


def english_digits(number: int) -> str:
    """`number` in digits with commas: 1,234,567."""
    return f"{number:,}"


def german_digits(number: int) -> str:
    """`number` in digits with full stops: 1.234.567."""
    return f"{number:,}".replace(",", ".")


def _english_below_thousand(number: int) -> str:
    hundreds, rest = divmod(number, 100)
    tens, ones = divmod(rest, 10)
    small = ENGLISH_SMALL[rest] if rest < 20 else ENGLISH_TENS[tens] + (f"-{ENGLISH_SMALL[ones]}" if ones else "")
    if not hundreds:
        return small
    return f"{ENGLISH_SMALL[hundreds]} hundred" + (f" and {small}" if rest else "")


def _german_below_thousand(number: int) -> str:
    hundreds, rest = divmod(number, 100)
    tens, ones = divmod(rest, 10)
    bound_ones = "ein" if ones == 1 else GERMAN_SMALL[ones]
    small = GERMAN_SMALL[rest] if rest < 20 else (f"{bound_ones}und" if ones else "") + GERMAN_TENS[tens]
    if not hundreds:
        return small
    return ("ein" if hundreds == 1 else GERMAN_SMALL[hundreds]) + "hundert" + (small if rest else "")
