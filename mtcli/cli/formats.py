"""How `mtcli translate` writes translations: the text alone, a table, or all that is known as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mtcli.decoding.evidence import Evidence
    from mtcli.decoding.translator import TextHypothesis, Translation

Proofs = Sequence["Sequence[Evidence]"]
"""What is known of every hypothesis of each translation."""

Format = Callable[[Iterator[int], "Sequence[Translation]", Proofs], Iterator[str]]
"""From line numbers, translations, and what is known of these, to the lines that are printed."""


def as_text(numbers: Iterator[int], translations: Sequence[Translation], proofs: Proofs) -> Iterator[str]:
    """The best translation of each line."""
    for translation in translations:
        yield translation.text


def as_tsv(numbers: Iterator[int], translations: Sequence[Translation], proofs: Proofs) -> Iterator[str]:
    """Line number, rank, score and text of each translation; tabs within the text become spaces."""
    for translation in translations:
        number = next(numbers)
        for rank, hypothesis in enumerate(translation.hypotheses, 1):
            text = hypothesis.text.replace("\t", " ")
            yield f"{number}\t{rank}\t{hypothesis.score:.6f}\t{text}"
        if not translation.hypotheses:
            yield f"{number}\t1\t\t"


def as_jsonl(numbers: Iterator[int], translations: Sequence[Translation], proofs: Proofs) -> Iterator[str]:
    """One object per source line."""
    for translation, evidence in zip(translations, proofs, strict=True):
        pairs = zip(translation.hypotheses, evidence, strict=True)
        entry = {
            "line": next(numbers),
            "source": translation.source,
            "translations": [as_object(translation, *pair) for pair in pairs],
            "split": translation.split,
        }
        yield json.dumps(entry, ensure_ascii=False)


def as_object(translation: Translation, hypothesis: TextHypothesis, evidence: Evidence) -> dict[str, Any]:
    """One translation: text and scores, what speaks against it, and how it came about."""
    from mtcli.decoding.alignment import pharaoh
    from mtcli.decoding.doubts import copied_source, length_suspicious, looping, numbers_lost

    source, text = translation.source, hypothesis.text
    source_tokens = sum(len(part.tokens) for part in translation.parts)
    return {
        "text": text,
        "score": hypothesis.score,
        "log_prob": hypothesis.log_prob,
        "truncated": not hypothesis.finished,
        "looping": looping(source, text),
        "copied_source": copied_source(source, text),
        "numbers_lost": numbers_lost(source, text),
        "length_suspicious": length_suspicious(source_tokens, len(hypothesis.tokens)),
        "pieces": evidence.pieces,
        "token_log_probs": [round(log_prob, 6) for log_prob in evidence.log_probs],
        "alignment": None if evidence.links is None else pharaoh(evidence.links),
    }


FORMATS: dict[str, Format] = {"text": as_text, "tsv": as_tsv, "jsonl": as_jsonl}
DETAILED = ("jsonl",)
"""Those that show what is known; the others need not be given it."""
