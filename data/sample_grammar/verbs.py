"""The verbs with the forms that no rule gives, and what they govern."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Verb:
    """A verb in both languages.

    `particle` follows an English object that is a pronoun (turn it on); `english_preposition` never does (for it).
    `german_preposition` is a preposition and its case, or empty. `preterite` is given for the verbs whose simple past
    German speech prefers to the perfect (war, hatte, stand).
    """

    base: str
    third: str
    past: str
    past_participle: str
    present_participle: str
    particle: str
    english_preposition: str
    infinitive: str
    prefix: str
    du: str
    er: str
    participle: str
    auxiliary: str
    preterite: str
    german_preposition: tuple[str, str]
    kinds: tuple[str, ...]

    @property
    def stative(self) -> bool:
        """Whether English refuses the progressive."""
        return self.present_participle == "-"


# English base, third person, past, participle, -ing ("-" = no progressive); "~up" a particle, "+for" a preposition
# | German prefix|infinitive with du, er ("." = regular), participle; "sein" as auxiliary, "=" a preterite,
# "@" preposition and case | kinds of the object, or of the place.
_TRANSITIVE = """
read reads read read reading | lesen liest liest gelesen | readable
write writes wrote written writing | schreiben . . geschrieben | writable
buy buys bought bought buying | kaufen . . gekauft | goods
sell sells sold sold selling | verkaufen . . verkauft | goods
see sees saw seen - | sehen siehst sieht gesehen | person animal vehicle building
look looks looked looked looking +for | suchen . . gesucht | portable pet young
find finds found found - | finden . . gefunden | portable pet
need needs needed needed - | brauchen . . gebraucht | goods
have has had had - | haben hast hat gehabt =hatte | goods pet
wear wears wore worn wearing | tragen trägst trägt getragen | clothes
carry carries carried carried carrying | tragen trägst trägt getragen | heavy
eat eats ate eaten eating | essen isst isst gegessen | food
drink drinks drank drunk drinking | trinken . . getrunken | drink
cook cooks cooked cooked cooking | kochen . . gekocht | cookable
know knows knew known - | kennen . . gekannt =kannte | person
like likes liked liked - | mögen magst mag gemocht =mochte | person animal
visit visits visited visited visiting | besuchen . . besucht | person sight
repair repairs repaired repaired repairing | reparieren . . repariert | repairable
wash washes washed washed washing | waschen wäschst wäscht gewaschen | wash
clean cleans cleaned cleaned cleaning | putzen . . geputzt | clean
open opens opened opened opening | öffnen . . geöffnet | openable
close closes closed closed closing | schließen . . geschlossen | closable
hear hears heard heard - | hören . . gehört | person animal
understand understands understood understood - | verstehen . . verstanden | person
forget forgets forgot forgotten - | vergessen vergisst vergisst vergessen | portable
lose loses lost lost - | verlieren . . verloren | portable
photograph photographs photographed photographed photographing | fotografieren . . fotografiert | animal building
pick picks picked picked picking ~up | ab|holen . . abgeholt | person
call calls called called calling | an|rufen . . angerufen | person
invite invites invited invited inviting | ein|laden lädst lädt eingeladen | person
put puts put put putting ~on | an|ziehen . . angezogen | dressing
try tries tried tried trying ~on | an|probieren . . anprobiert | clothes
turn turns turned turned turning ~on | ein|schalten . . eingeschaltet | switchable
turn turns turned turned turning ~off | aus|schalten . . ausgeschaltet | switchable
bring brings brought brought bringing ~back | zurück|bringen . . zurückgebracht | portable
tidy tidies tidied tidied tidying ~up | auf|räumen . . aufgeräumt | tidy
"""

_DATIVE = """
help helps helped helped helping | helfen hilfst hilft geholfen | person
thank thanks thanked thanked thanking | danken . . gedankt | person
answer answers answered answered answering | antworten . . geantwortet | person
follow follows followed followed following | folgen . . gefolgt sein | person
"""

_PREPOSITIONAL = """
wait waits waited waited waiting +for | warten . . gewartet @auf:accusative | person
think thinks thought thought thinking +of | denken . . gedacht @an:accusative | person
talk talks talked talked talking +to | sprechen sprichst spricht gesprochen @mit:dative | person
dream dreams dreamed dreamed dreaming +of | träumen . . geträumt @von:dative | person
play plays played played playing +with | spielen . . gespielt @mit:dative | young pet
"""

_GIVING = """
give gives gave given giving | geben gibst gibt gegeben | gift snack portable
show shows showed shown showing | zeigen . . gezeigt | gift readable clothes
send sends sent sent sending | schicken . . geschickt | gift
bring brings brought brought bringing | bringen . . gebracht | gift snack portable
lend lends lent lent lending | leihen . . geliehen | portable vehicle
"""

_STAYING = """
sleep sleeps slept slept sleeping | schlafen schläfst schläft geschlafen | rest
work works worked worked working | arbeiten . . gearbeitet | work
wait waits waited waited waiting | warten . . gewartet | meet
sing sings sang sung singing | singen . . gesungen | play
dance dances danced danced dancing | tanzen . . getanzt | play
play plays played played playing | spielen . . gespielt | play
live lives lived lived - | wohnen . . gewohnt | live
stay stays stayed stayed staying | bleiben . . geblieben sein | home tidy
sit sits sat sat sitting | sitzen . . gesessen =saß | rest home
swim swims swam swum swimming | schwimmen . . geschwommen sein | swim
arrive arrives arrived arrived arriving | an|kommen . . angekommen sein | arrive
"""

_GOING = """
go goes went gone going | gehen . . gegangen sein | play meet shop work walk swim
walk walks walked walked walking | laufen läufst läuft gelaufen sein | play walk shop arrive
drive drives drove driven driving | fahren fährst fährt gefahren sein | arrive town shop
come comes came come coming | kommen . . gekommen sein | meet work
"""

_SINGLE = """
be is was been - | sein bist ist gewesen sein =war |
know knows knew known - | wissen weißt weiß gewusst =wusste |
think thinks thought thought - | glauben . . geglaubt |
hope hopes hoped hoped - | hoffen . . gehofft |
say says said said - | sagen . . gesagt |
ask asks asked asked asking | fragen . . gefragt |
be is was been - | liegen . . gelegen =lag |
be is was been - | stehen . . gestanden =stand |
put puts put put putting | legen . . gelegt |
put puts put put putting | stellen . . gestellt |
cost costs cost cost - | kosten . . gekostet |
leave leaves left left leaving | ab|fahren fährst fährt abgefahren sein |
start starts started started starting | beginnen . . begonnen |
get gets got got getting ~up | auf|stehen . . aufgestanden sein |
fly flies flew flown flying | fliegen . . geflogen sein |
travel travels travelled travelled travelling | reisen . . gereist sein |
run runs ran run running | laufen läufst läuft gelaufen sein |
try tries tried tried trying | versuchen . . versucht |
plan plans planned planned planning | planen . . geplant |
become becomes became become - | werden wirst wird geworden sein |
"""

_MODALS = """
can can could | können kannst kann konnte
have_to has_to had_to | müssen musst muss musste
want_to wants_to wanted_to | wollen willst will wollte
should should - | sollten solltest sollte -
would_like_to would_like_to - | möchten möchtest möchte -
be_allowed_to is_allowed_to was_allowed_to | dürfen darfst darf durfte
"""


@dataclass(frozen=True)
class Modal:
    """A German modal verb and its English equivalent; `past` and `preterite` are empty where there is none."""

    base: str
    third: str
    past: str
    infinitive: str
    du: str
    er: str
    preterite: str


def _verb(english: str, german: str, kinds: str) -> Verb:
    forms = english.split()
    particle, preposition = "", ""
    if forms[-1][0] in "~+":
        mark = forms.pop()
        particle, preposition = (mark[1:], "") if mark[0] == "~" else ("", mark[1:])
    extra = german.split()[4:]
    infinitive, du, er, participle = german.split()[:4]
    prefix, _, bare = infinitive.rpartition("|")
    stem = bare.removesuffix("en")
    return Verb(
        base=forms[0],
        third=forms[1],
        past=forms[2],
        past_participle=forms[3],
        present_participle=forms[4],
        particle=particle,
        english_preposition=preposition,
        infinitive=bare,
        prefix=prefix,
        du=_regular(stem, "st") if du == "." else du,
        er=_regular(stem, "t") if er == "." else er,
        participle=participle,
        auxiliary="sein" if "sein" in extra else "haben",
        preterite=next((mark[1:] for mark in extra if mark[0] == "="), ""),
        german_preposition=next((_governed(mark) for mark in extra if mark[0] == "@"), ("", "")),
        kinds=tuple(kinds.split()),
    )


def _regular(stem: str, ending: str) -> str:
    if stem.endswith(("t", "d", "ffn")):
        return f"{stem}e{ending}"
    if stem.endswith(("s", "ß", "z")):
        return f"{stem}t"
    return stem + ending


def _governed(mark: str) -> tuple[str, str]:
    preposition, case = mark[1:].split(":")
    return preposition, case


def chosen(pool: tuple[Verb, ...], bases: str) -> tuple[Verb, ...]:
    """The verbs of the pool with one of these English bases."""
    return tuple(verb for verb in pool if verb.base in bases.split())


def _verbs(table: str) -> tuple[Verb, ...]:
    rows = (line.split("|", 1) for line in table.strip().split("\n"))
    return tuple(_verb(english.strip(), *_split_last(rest)) for english, rest in rows)


def _split_last(rest: str) -> tuple[str, str]:
    german, _, kinds = rest.rpartition("|")
    return german.strip(), kinds.strip()


def _modal(line: str) -> Modal:
    forms = ["" if form == "-" else form.replace("_", " ") for form in line.replace("|", " ").split()]
    return Modal(*forms)


TRANSITIVE = _verbs(_TRANSITIVE)
DATIVE = _verbs(_DATIVE)
PREPOSITIONAL = _verbs(_PREPOSITIONAL)
GIVING = _verbs(_GIVING)
STAYING = _verbs(_STAYING)
GOING = _verbs(_GOING)
SINGLE = {verb.prefix + verb.infinitive: verb for verb in _verbs(_SINGLE)}
MODALS = tuple(_modal(line) for line in _MODALS.strip().split("\n"))
