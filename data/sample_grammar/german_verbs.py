"""German verb groups: the finite verb, and what waits for it at the end of the clause."""

from __future__ import annotations

from .phrases import NounPhrase
from .verbs import SINGLE, Modal, Verb

TENSES = ("present", "progressive", "past", "perfect", "future")


def verb_group(verb: Verb, tense: str, modal: Modal | None, subject: NounPhrase) -> tuple[str, str]:
    """The finite verb, and the prefix, participle or infinitive that closes a main clause.

    The English simple past becomes the perfect, except for the verbs and modals with a preterite.
    """
    if modal:
        finite = _preterite(modal.preterite, subject) if tense == "past" else _present(modal, subject)
        return finite, verb.prefix + verb.infinitive
    if tense == "future":
        return _present(SINGLE["werden"], subject), verb.prefix + verb.infinitive
    if tense == "past" and verb.preterite:
        return _preterite(verb.preterite, subject), verb.prefix
    if tense in ("past", "perfect"):
        return _auxiliary(verb.auxiliary, subject), verb.participle
    return _present(verb, subject), verb.prefix


def final_verbs(verb: Verb, tense: str, modal: Modal | None, subject: NounPhrase) -> str:
    """The verbs of a subordinate clause, the finite one last: angerufen hat, anruft."""
    finite, closing = verb_group(verb, tense, modal, subject)
    return closing + finite if closing and closing == verb.prefix else f"{closing} {finite}".strip()


def infinitive_with_zu(verb: Verb) -> str:
    """Zu lesen, anzurufen."""
    return f"{verb.prefix}zu{verb.infinitive}" if verb.prefix else f"zu {verb.infinitive}"


def _present(verb: Verb | Modal, subject: NounPhrase) -> str:
    if verb.infinitive == "sein":
        return "sind" if subject.plural else ("bin", "bist", "ist")[subject.person - 1]
    if subject.plural:
        return verb.infinitive
    # kann, mag, weiß: these have no ending in the third person and share that form with the first.
    first = verb.infinitive[:-1] if verb.er[-1] in "td" else verb.er
    return (first, verb.du, verb.er)[subject.person - 1]


def _preterite(form: str, subject: NounPhrase) -> str:
    if subject.plural:
        return form + ("n" if form.endswith("e") else "en")
    if subject.person != 2:
        return form
    return form + ("est" if form.endswith(("d", "ß")) else "st")


def _auxiliary(infinitive: str, subject: NounPhrase) -> str:
    if infinitive == "sein":
        return _present(SINGLE["sein"], subject)
    return "haben" if subject.plural else ("habe", "hast", "hat")[subject.person - 1]
