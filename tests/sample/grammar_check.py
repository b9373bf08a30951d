"""German as this test understands it: written down anew, without a look at the generator's tables."""

from __future__ import annotations

import re


def listed(words: str) -> list[str]:
    """The words of a list written as a sentence."""
    return words.split()


GENDERS = {
    "m": listed(
        """
    Mann Junge Lehrer Arzt Student Polizist Koch Tourist Nachbar Kollege Freund Bruder Vater Onkel Hund Vogel
    Bär Brief Roman Bericht Mantel Hut Rock Tisch Stuhl Schrank Computer Schlüssel Regenschirm Koffer Apfel
    Kuchen Fisch Garten Park Wald Bahnhof Flughafen Markt Supermarkt See Strand Film Kurs Zug Bus
    """
    ),
    "f": listed(
        """
    Frau Kellnerin Schwester Mutter Großmutter Tante Katze Zeitung Nachricht Jacke Lampe Kamera Uhr Fahrkarte
    Tasche Tasse Flasche Tür Tomate Kartoffel Suppe Küche Schule Bibliothek Kirche Bäckerei Stadt Prüfung
    Feier Besprechung Ausstellung Zahl Antwort Woche
    """
    ),
    "n": listed(
        """
    Kind Mädchen Pferd Buch Hemd Kleid Auto Fahrrad Bett Bild Geschenk Glas Fenster Ei Zimmer Büro Museum
    Hotel Restaurant Krankenhaus Theater Kino Dorf Haus Meer Schwimmbad Konzert Spiel Ergebnis Jahr
    """
    ),
}
WEAK = listed("Jungen Studenten Polizisten Touristen Nachbarn Kollegen Bären")
PLURALS = listed(
    """
    Männer Frauen Kinder Mädchen Jungen Lehrer Ärzte Studenten Polizisten Köche Kellnerinnen Touristen
    Nachbarn Kollegen Freunde Schwestern Brüder Tanten Onkel Hunde Katzen Pferde Vögel Bären Bücher Zeitungen
    Briefe Romane Berichte Nachrichten Mäntel Jacken Hemden Kleider Hüte Röcke Autos Fahrräder Tische Stühle
    Betten Schränke Lampen Computer Kameras Uhren Schlüssel Fahrkarten Regenschirme Taschen Koffer Bilder
    Geschenke Tassen Gläser Flaschen Türen Fenster Äpfel Tomaten Eier Kuchen Kartoffeln Gärten Küchen Zimmer
    Büros Parks Wälder Schulen Bahnhöfe Flughäfen Märkte Bibliotheken Museen Hotels Restaurants Krankenhäuser
    Kirchen Theater Kinos Supermärkte Bäckereien Dörfer Städte Häuser Seen Strände Schwimmbäder
    """
)
DATIVE_PLURALS = [word if word[-1] in "ns" else f"{word}n" for word in PLURALS]

# The endings of der-words and, in brackets, of the adjective behind them; then the same for ein-words.
DER = {
    "nominative": {"m": "er(e)", "f": "e(e)", "n": "es(e)", "p": "e(en)"},
    "accusative": {"m": "en(en)", "f": "e(e)", "n": "es(e)", "p": "e(en)"},
    "dative": {"m": "em(en)", "f": "er(en)", "n": "em(en)", "p": "en(en)"},
}
EIN = {
    "nominative": {"m": "(er)", "f": "e(e)", "n": "(es)", "p": "e(en)"},
    "accusative": {"m": "en(en)", "f": "e(e)", "n": "(es)", "p": "e(en)"},
    "dative": {"m": "em(en)", "f": "er(en)", "n": "em(en)", "p": "en(en)"},
}
ARTICLES = {"der": "er", "den": "en", "dem": "em", "die": "e", "das": "es"}
CONTRACTED = {"im": "em", "am": "em", "zum": "em", "vom": "em", "zur": "er", "ins": "es", "ans": "es"}
DETERMINER = re.compile(r"(dies|k?ein|mein|dein|sein|ihr|unser)(e|er|en|em|es|)$")

SINGULAR_FINITE = set(
    listed(
        """
    habe hast hat hatte bin bist ist war wird kann konnte muss musste will wollte sollte möchte darf durfte
    weiß wusste mag mochte kennt kannte lag stand saß liest schreibt kauft verkauft sieht sucht findet braucht
    trägt isst trinkt kocht besucht repariert wäscht putzt öffnet schließt hört versteht vergisst verliert
    fotografiert abholt anruft einlädt anzieht anprobiert einschaltet ausschaltet zurückbringt aufräumt hilft
    dankt antwortet folgt wartet denkt spricht träumt spielt gibt zeigt schickt bringt leiht schläft arbeitet
    singt tanzt wohnt bleibt sitzt schwimmt ankommt geht läuft fährt kommt glaubt hofft sagt fragt liegt steht
    legt stellt kostet abfährt beginnt aufsteht fliegt reist versucht plant regnet schneit
    """
    )
)
PLURAL_FINITE = set(
    listed(
        """
    haben hatten sind waren werden können konnten müssen mussten wollen wollten sollten möchten dürfen durften
    wissen mögen kennen kannten lagen standen saßen lesen schreiben kaufen verkaufen sehen suchen finden
    brauchen tragen essen trinken kochen besuchen reparieren waschen putzen öffnen schließen hören verstehen
    vergessen verlieren fotografieren abholen anrufen einladen anziehen anprobieren einschalten ausschalten
    zurückbringen aufräumen helfen danken antworten folgen warten denken sprechen träumen spielen geben zeigen
    schicken bringen leihen schlafen arbeiten singen tanzen wohnen bleiben sitzen schwimmen ankommen gehen
    laufen fahren kommen glauben hoffen sagen fragen liegen stehen legen stellen kosten abfahren beginnen
    aufstehen fliegen reisen versuchen planen
    """
    )
)


def phrase_cases(determiner: str, adjective: str, noun: str) -> set[str]:
    """The cases in which determiner, adjective (or "") and noun agree; empty where the phrase is wrong."""
    ending, table = _ending(determiner)
    cases = set()
    for case, columns in table.items():
        for column, pattern in columns.items():
            article, _, rest = pattern.partition("(")
            fits = article == ending and (not adjective or adjective.endswith(rest[:-1]))
            # An ending must not hide in a longer one: neuen also ends in "n", neuer in "r".
            exact = not adjective or re.sub(r"(e|er|en|em|es)$", "", adjective) + rest[:-1] == adjective
            if fits and exact and _noun_fits(noun, column, case):
                cases.add(case)
    return cases


def is_noun(word: str) -> bool:
    """Whether these tables know the word as a noun, in any form."""
    return any(word in words for words in (*GENDERS.values(), WEAK, PLURALS, DATIVE_PLURALS))


def german_value(words: str) -> int:
    """The number that a German number word (or "eine Million" and what follows) stands for."""
    before, millions, after = words.partition(" Million")
    if millions:
        return german_value(before.replace("eine", "ein")) * 1_000_000 + german_value(
            after.removeprefix("en").strip()
        )
    for unit, value in (("tausend", 1000), ("hundert", 100)):
        left, found, right = words.partition(unit)
        if found:
            return german_value(left) * value + german_value(right)
    left, found, right = words.partition("und")
    if found:
        return german_value(left) + german_value(right)
    return _GERMAN[words]


def english_value(words: str) -> int:
    """The number that English number words stand for."""
    total = current = 0
    for word in words.replace("-", " ").split():
        if word in ("thousand", "million"):
            total += current * {"thousand": 1000, "million": 1_000_000}[word]
            current = 0
        elif word == "hundred":
            current *= 100
        elif word != "and":
            current += _ENGLISH[word]
    return total + current


_GERMAN = {"": 0, "null": 0, "ein": 1, "sechzehn": 16, "siebzehn": 17, "zwanzig": 20, "dreißig": 30, "sechzig": 60}
_GERMAN |= {
    word: n for n, word in enumerate(listed("eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf"), 1)
}
_GERMAN |= {f"{word}zehn": _GERMAN[word] + 10 for word in listed("drei vier fünf acht neun")}
_GERMAN |= {f"{word}zig": _GERMAN[word] * 10 for word in listed("vier fünf acht neun")} | {"siebzig": 70}
_ENGLISH = {word: n for n, word in enumerate(listed("zero one two three four five six seven eight nine ten eleven"))}
_ENGLISH |= {"twelve": 12, "thirteen": 13, "fifteen": 15, "eighteen": 18, "twenty": 20, "thirty": 30, "forty": 40}
_ENGLISH |= {f"{word}teen": _ENGLISH[word] + 10 for word in listed("four six seven nine")}
_ENGLISH |= {f"{word}ty": _ENGLISH[word] * 10 for word in listed("six seven nine")} | {"fifty": 50, "eighty": 80}


def _ending(determiner: str) -> tuple[str, dict[str, dict[str, str]]]:
    if determiner in ARTICLES:
        return ARTICLES[determiner], DER
    if determiner in CONTRACTED:
        return CONTRACTED[determiner], {"accusative": DER["accusative"], "dative": DER["dative"]}
    found = DETERMINER.match(determiner)
    assert found, determiner
    return found.group(2), DER if found.group(1) == "dies" else EIN


def _noun_fits(noun: str, column: str, case: str) -> bool:
    if column == "p":
        return noun in (DATIVE_PLURALS if case == "dative" else PLURALS)
    if column == "m" and case != "nominative":
        return noun in WEAK or (noun in GENDERS["m"] and not any(weak.startswith(noun) for weak in WEAK))
    return noun in GENDERS[column]
