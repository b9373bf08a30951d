"""The nouns, adjectives and names, and what may sensibly be done with them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Noun:
    """A noun in both languages; `weak` marks the n-declension (den Jungen), `kinds` what may be done with it."""

    english: str
    english_plural: str
    german: str
    gender: str
    german_plural: str
    weak: bool
    kinds: frozenset[str]
    adjectives: tuple[str, ...]


# English | English plural | German, gender (* = n-declension), plural | kinds | group of adjectives.
# "-" for a plural: a mass noun. "kin" is always somebody's: my aunt.
_NOUNS = """
man | men | Mann m Männer | person adult | adult
woman | women | Frau f Frauen | person adult | adult
child | children | Kind n Kinder | person young | young
girl | girls | Mädchen n Mädchen | person young | young
boy | boys | Junge m* Jungen | person young | young
teacher | teachers | Lehrer m Lehrer | person adult | adult
doctor | doctors | Arzt m Ärzte | person adult | adult
student | students | Student m* Studenten | person adult | student
policeman | policemen | Polizist m* Polizisten | person adult | adult
cook | cooks | Koch m Köche | person adult | adult
waitress | waitresses | Kellnerin f Kellnerinnen | person adult | adult
tourist | tourists | Tourist m* Touristen | person adult | student
neighbour | neighbours | Nachbar m* Nachbarn | person kin adult | neighbour
colleague | colleagues | Kollege m* Kollegen | person kin adult | neighbour
friend | friends | Freund m Freunde | person kin adult | friend
sister | sisters | Schwester f Schwestern | person kin adult | kin
brother | brothers | Bruder m Brüder | person kin adult | kin
mother | mothers | Mutter f Mütter | person kin adult single | none
father | fathers | Vater m Väter | person kin adult single | none
grandmother | grandmothers | Großmutter f Großmütter | person kin adult single | none
aunt | aunts | Tante f Tanten | person kin adult | kin
uncle | uncles | Onkel m Onkel | person kin adult | kin
dog | dogs | Hund m Hunde | animal pet wash | animal
cat | cats | Katze f Katzen | animal pet | animal
horse | horses | Pferd n Pferde | animal wash | animal
bird | birds | Vogel m Vögel | animal | animal
bear | bears | Bär m* Bären | animal | animal
book | books | Buch n Bücher | readable goods portable flat gift | text
newspaper | newspapers | Zeitung f Zeitungen | readable goods portable flat | print
letter | letters | Brief m Briefe | readable writable portable flat openable | text
novel | novels | Roman m Romane | readable writable goods gift | text
report | reports | Bericht m Berichte | readable writable | text
message | messages | Nachricht f Nachrichten | readable writable | message
coat | coats | Mantel m Mäntel | clothes goods dressing | clothes
jacket | jackets | Jacke f Jacken | clothes goods dressing wash | clothes
shirt | shirts | Hemd n Hemden | clothes goods dressing wash gift | clothes
dress | dresses | Kleid n Kleider | clothes goods dressing female wash gift | clothes
hat | hats | Hut m Hüte | clothes goods gift | clothes
skirt | skirts | Rock m Röcke | clothes goods dressing female wash | clothes
car | cars | Auto n Autos | vehicle goods repairable wash | vehicle
bicycle | bicycles | Fahrrad n Fahrräder | vehicle goods repairable clean | vehicle
table | tables | Tisch m Tische | furniture goods surface clean | thing
chair | chairs | Stuhl m Stühle | furniture goods surface repairable | thing
bed | beds | Bett n Betten | furniture goods surface | thing
cupboard | cupboards | Schrank m Schränke | furniture goods openable surface | thing
lamp | lamps | Lampe f Lampen | goods upright switchable repairable | thing
computer | computers | Computer m Computer | goods upright switchable repairable | device
camera | cameras | Kamera f Kameras | goods portable flat repairable gift | device
watch | watches | Uhr f Uhren | goods portable flat repairable gift | thing
key | keys | Schlüssel m Schlüssel | portable flat | key
ticket | tickets | Fahrkarte f Fahrkarten | goods portable flat | ticket
umbrella | umbrellas | Regenschirm m Regenschirme | goods portable flat openable | clothes
bag | bags | Tasche f Taschen | goods portable upright heavy openable | thing
suitcase | suitcases | Koffer m Koffer | goods portable upright heavy openable | case
picture | pictures | Bild n Bilder | goods gift | thing
present | presents | Geschenk n Geschenke | goods gift openable flat | gift
cup | cups | Tasse f Tassen | goods upright gift wash | cup
glass | glasses | Glas n Gläser | goods upright wash | cup
bottle | bottles | Flasche f Flaschen | goods upright openable heavy | cup
door | doors | Tür f Türen | openable closable clean | door
window | windows | Fenster n Fenster | openable closable clean | door
apple | apples | Apfel m Äpfel | food grocery goods flat snack | fruit
tomato | tomatoes | Tomate f Tomaten | food grocery goods flat | fruit
egg | eggs | Ei n Eier | food grocery goods cookable flat | egg
cake | cakes | Kuchen m Kuchen | food grocery goods upright snack | cake
potato | potatoes | Kartoffel f Kartoffeln | food grocery goods cookable flat | fruit
soup | soups | Suppe f Suppen | food cookable single | soup
fish | fish | Fisch m Fische | food grocery goods cookable single | fish
water | - | Wasser n - | drink | water
coffee | - | Kaffee m - | drink | coffee
tea | - | Tee m - | drink | coffee
milk | - | Milch f - | drink | milk
beer | - | Bier n - | drink | beer
"""

# English | German, gender, plural | where: English and German preposition | whither: English, German, case | kinds
# | group of adjectives.
_PLACES = """
garden | gardens | Garten m Gärten | in in | into in accusative | play rest work | nature
kitchen | kitchens | Küche f Küchen | in in | into in accusative | work home clean tidy | place
room | rooms | Zimmer n Zimmer | in in | into in accusative | rest home tidy | place
office | offices | Büro n Büros | in in | to in accusative | work tidy | place
park | parks | Park m Parks | in in | to in accusative | play rest walk | nature
forest | forests | Wald m Wälder | in in | into in accusative | play walk | nature
school | schools | Schule f Schulen | at in | to zu dative | work meet building | place
station | stations | Bahnhof m Bahnhöfe | at an | to zu dative | meet arrive building | place
airport | airports | Flughafen m Flughäfen | at an | to zu dative | meet arrive work | place
market | markets | Markt m Märkte | at auf | to zu dative | shop meet work | place
library | libraries | Bibliothek f Bibliotheken | in in | to in accusative | work meet building | place
museum | museums | Museum n Museen | in in | to in accusative | work meet sight building | place
hotel | hotels | Hotel n Hotels | in in | to in accusative | work rest meet building | place
restaurant | restaurants | Restaurant n Restaurants | in in | to in accusative | work meet building | place
hospital | hospitals | Krankenhaus n Krankenhäuser | in in | to in accusative | work building | place
church | churches | Kirche f Kirchen | in in | to in accusative | meet sight building | place
theatre | theatres | Theater n Theater | at in | to in accusative | work meet building | place
cinema | cinemas | Kino n Kinos | in in | to in accusative | meet building | place
supermarket | supermarkets | Supermarkt m Supermärkte | in in | to in accusative | work shop building | place
bakery | bakeries | Bäckerei f Bäckereien | in in | to zu dative | work meet building | place
village | villages | Dorf n Dörfer | in in | to in accusative | live town | town
city | cities | Stadt f Städte | in in | to in accusative | live town work | town
house | houses | Haus n Häuser | in in | into in accusative | live home building | place
lake | lakes | See m Seen | at an | to an accusative | play walk | nature
sea | - | Meer n - | in in | to an accusative | swim | none
pool | pools | Schwimmbad n Schwimmbäder | in in | to in accusative | swim | nature
beach | beaches | Strand m Strände | on an | to an accusative | play rest walk | nature
"""

# English and its comparative | German and its comparative. "-": "more ..." in English; no comparison in German.
_ADJECTIVES = """
old older | alt älter
new newer | neu neuer
young younger | jung jünger
big bigger | groß größer
small smaller | klein kleiner
little - | klein -
tall taller | groß größer
beautiful - | schön schöner
friendly friendlier | freundlich freundlicher
famous - | berühmt berühmter
clever cleverer | klug klüger
interesting - | interessant interessanter
important - | wichtig wichtiger
long longer | lang länger
short shorter | kurz kürzer
red - | rot -
blue - | blau -
black - | schwarz -
white - | weiß -
green - | grün -
brown - | braun -
warm warmer | warm wärmer
cold colder | kalt kälter
hot hotter | heiß heißer
fresh fresher | frisch frischer
strong stronger | stark stärker
expensive - | teuer teurer
cheap cheaper | billig billiger
heavy heavier | schwer schwerer
good better | gut besser
fast faster | schnell schneller
empty - | leer -
"""

_GROUPS = """
adult: old young friendly famous tall clever
young: little clever friendly
student: young friendly clever tall
neighbour: young friendly
friend: old good
kin: clever friendly tall
none:
animal: old young big small black white brown
text: new old interesting long short
print: new old
message: new important short long
clothes: new old red blue black white green expensive cheap beautiful warm
vehicle: new old red blue black white expensive cheap fast
thing: new old big small expensive cheap beautiful
device: new old expensive cheap
key: new old small
ticket: new expensive cheap
case: new old big small heavy black
gift: big small beautiful expensive
cup: new empty big small
door: old new big small
fruit: fresh big small
egg: fresh
cake: big small good
soup: hot good
fish: fresh big small
water: cold hot fresh
coffee: hot strong
milk: cold hot fresh
beer: cold
place: old new big small beautiful
nature: big small beautiful
town: old big small beautiful
"""

FEMALE_NAMES = ("Anna", "Maria", "Lena", "Sophie", "Emma", "Julia", "Clara")
MALE_NAMES = ("Paul", "Peter", "Max", "Jonas", "Felix", "Lukas", "David", "Martin")
NAMES = FEMALE_NAMES + MALE_NAMES

CITIES = (
    ("Berlin", "Berlin"),
    ("Hamburg", "Hamburg"),
    ("Munich", "München"),
    ("Cologne", "Köln"),
    ("Vienna", "Wien"),
    ("Zurich", "Zürich"),
    ("Paris", "Paris"),
    ("London", "London"),
    ("Rome", "Rom"),
)


@dataclass(frozen=True)
class Place:
    """A noun to be at and to go to, with the prepositions that each language wants."""

    noun: Noun
    where: tuple[str, str]
    whither: tuple[str, str, str]


@dataclass(frozen=True)
class Adjective:
    """An adjective with its German comparative and its English one ("more ..." included)."""

    english: str
    german: str
    english_comparative: str
    german_comparative: str


def _columns(table: str) -> list[list[str]]:
    return [[column.strip() for column in line.split("|")] for line in table.strip().split("\n")]


def _noun(english: str, plural: str, german: str, kinds: str, group: str) -> Noun:
    word, gender, german_plural = german.split()
    marks = frozenset(kinds.split())
    return Noun(english, plural, word, gender[0], german_plural, gender.endswith("*"), marks, _groups()[group])


def _groups() -> dict[str, tuple[str, ...]]:
    lines = [line.split(":") for line in _GROUPS.strip().split("\n")]
    return {name: tuple(words.split()) for name, words in lines}


def _place(*row: str) -> Place:
    english, plural, german, where, whither, kinds, group = row
    at, to = where.split(), whither.split()
    return Place(_noun(english, plural, german, kinds, group), (at[0], at[1]), (to[0], to[1], to[2]))


def _adjective(english: str, german: str) -> Adjective:
    word, comparative = english.split()
    german_word, german_comparative = german.split()
    return Adjective(word, german_word, f"more {word}" if comparative == "-" else comparative, german_comparative)


ADJECTIVES = {adjective.english: adjective for adjective in (_adjective(*row) for row in _columns(_ADJECTIVES))}
NOUNS = tuple(_noun(*row) for row in _columns(_NOUNS))
PLACES = tuple(_place(*row) for row in _columns(_PLACES))


def nouns_of(*kinds: str) -> tuple[Noun, ...]:
    """Every noun, places included, that is of at least one of these kinds."""
    everything = NOUNS + tuple(place.noun for place in PLACES)
    return tuple(noun for noun in everything if noun.kinds & set(kinds))


def places_of(*kinds: str) -> tuple[Place, ...]:
    """Every place that is of at least one of these kinds."""
    return tuple(place for place in PLACES if place.noun.kinds & set(kinds))


def noun_named(english: str) -> Noun:
    """The noun with this English singular."""
    return next(noun for noun in NOUNS + tuple(place.noun for place in PLACES) if noun.english == english)
