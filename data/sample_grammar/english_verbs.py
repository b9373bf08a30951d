"""English verb groups: the finite verb that a question moves, and the rest."""

from __future__ import annotations

from .phrases import NounPhrase
from .verbs import Modal, Verb


def verb_group(verb: Verb, tense: str, modal: Modal | None, subject: NounPhrase, supported: bool) -> tuple[str, str]:
    """The finite auxiliary (empty where there is none) and the rest of the verbs.

    `supported` asks for do where there is no other auxiliary: in questions and before not.
    """
    if modal:
        return _modal_group(modal, verb, tense == "past", subject, supported)
    if tense == "future":
        return "will", verb.base if verb.third != "is" else "be"
    if tense == "perfect":
        return _inflect("have", "has", subject), verb.past_participle
    if verb.third == "is":
        return _be(tense == "past", subject), ""
    if tense == "progressive":
        return _be(False, subject), verb.present_participle
    return _plain((verb.base, verb.third, verb.past), tense == "past", subject, supported)


def infinitive(verb: Verb) -> str:
    """To read, to be."""
    return f"to {'be' if verb.third == 'is' else verb.base}"


def _modal_group(modal: Modal, verb: Verb, past: bool, subject: NounPhrase, supported: bool) -> tuple[str, str]:
    base = "be" if verb.third == "is" else verb.base
    first, _, rest = modal.base.partition(" ")
    if first == "be":
        return _be(past, subject), f"{rest} {base}"
    if first == "would":
        return first, f"{rest} {base}"
    if not rest:
        return modal.past if past else modal.base, base
    forms = (first, modal.third.split(" ")[0], modal.past.split(" ")[0])
    finite, lexical = _plain(forms, past, subject, supported)
    return finite, f"{lexical} {rest} {base}"


def _plain(forms: tuple[str, str, str], past: bool, subject: NounPhrase, supported: bool) -> tuple[str, str]:
    base, third, past_form = forms
    if not supported:
        return "", past_form if past else _inflect(base, third, subject)
    return ("did" if past else _inflect("do", "does", subject)), base


def _inflect(base: str, third: str, subject: NounPhrase) -> str:
    return third if subject.person == 3 and not subject.plural else base


def _be(past: bool, subject: NounPhrase) -> str:
    if past:
        return "were" if subject.plural or subject.person == 2 else "was"
    return "are" if subject.plural else ("am", "are", "is")[subject.person - 1]
