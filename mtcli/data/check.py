"""Look before you train: counts over the corpora, and warnings about what usually goes wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

from mtcli.data.census import OUTLIER, Census, TokenEncoder
from mtcli.data.corpus import Account, Corpus, SentencePair
from mtcli.data.rows import Row
from mtcli.data.swapped import LEARNED_FROM, SideJudge


@dataclass(frozen=True)
class Report:
    """What was found: counts for each part, how the others overlap with training, and sentences of warning."""

    parts: dict[str, Census]
    overlap: dict[str, tuple[int, int]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The report in plain values: a table for each part, then `warnings`."""
        tables = {name: census.as_json() for name, census in self.parts.items()}
        for name, (sources, pairs) in self.overlap.items():
            tables[name]["in_training"] = {"sources": sources, "pairs": pairs}
        return {**tables, "warnings": list(self.warnings)}


def check(
    corpora: Sequence[Corpus],
    valid_corpora: Sequence[Corpus] = (),
    test_corpora: Sequence[Corpus] = (),
    tokenizer: TokenEncoder | None = None,
    max_length: int = 256,
) -> Report:
    """Read every corpus once and count; tokens are counted if there is a `tokenizer`.

    `max_length` is the number of tokens beyond which training drops a pair. Raises `DataError` as reading does.
    """
    parts: dict[str, Census] = {}
    judge = SideJudge(())
    named = {"training": corpora, "validation": valid_corpora, "test": test_corpora}
    for name, members in named.items():
        if not members:
            continue
        census = parts[name] = Census(tokenizer, max_length)
        rows = _read(members, census)
        if name == "training":
            first = list(islice(rows, LEARNED_FROM))
            judge, rows = SideJudge(pair for _, pair in first), chain(first, rows)
        for row, pair in rows:
            census.add(row, pair, judge)
        census.finish()
    overlap = {
        name: census.shared_with(parts["training"])
        for name, census in parts.items()
        if name != "training" and "training" in parts
    }
    warnings = [sentence for name, census in parts.items() for sentence in _warnings(name, census)]
    warnings += [_leak(name, parts[name].kept, *shared) for name, shared in overlap.items() if shared[0]]
    return Report(parts, overlap, tuple(warnings))


def _read(corpora: Sequence[Corpus], census: Census) -> Iterator[tuple[Row, SentencePair]]:
    for corpus in corpora:
        account = census.accounts.setdefault(corpus.name, Account())
        yield from corpus.pairs_as_written(account)


def _warnings(part: str, census: Census) -> Iterator[str]:
    """A sentence for everything that exceeds its usual share of the pairs."""
    kept, dropped = census.kept, census.read - census.kept
    findings = [
        (dropped, census.read, 0.01, "were dropped as empty or unreadable"),
        (census.repeats()[0], kept, 0.1, "repeat an earlier pair"),
        (census.copies, kept, 0.01, "have the same text on both sides"),
        (census.swapped, kept, 0.002, "seem to have source and target swapped"),
        (
            census.ratio_outliers(),
            kept,
            0.01,
            f"have a length ratio more than {OUTLIER} times off the median: they may be no translations",
        ),
        (census.too_long, kept, 0.01, f"are longer than {census.max_length} tokens and will not be trained on"),
    ]
    for count, total, share, finding in findings:
        if count > share * total:
            yield f"{count:,} of {total:,} {part} pairs ({count / total:.1%}) {finding}"


def _leak(part: str, kept: int, sources: int, pairs: int) -> str:
    return (
        f"{sources:,} of {kept:,} {part} sources are in the training data, {pairs:,} of them with the same "
        "translation: scores on these show memory, not skill"
    )
