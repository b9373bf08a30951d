"""Whether translations have what they must have, and nothing that they must not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import ceil
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import promise_checks as checks
from measure import Stopwatch
from promise_subject import Promise, Subject
from promise_words import common, fitting, prefix, sampled, words_in, words_of

from mtcli.cli.control import read_control
from mtcli.decoding.translator import TextHypothesis
from mtcli.decoding.wishes import Speller, Wishes

BEAM, GREEDY, SAMPLE = ({"decoding": name} for name in ("beam", "greedy", "sample"))


@dataclass(frozen=True)
class Task:
    """A constraint on the translations of all lines."""

    name: str
    breaks: Callable[[int, TextHypothesis], object]
    """What breaks it in the translation of the line with a number from 0; something empty if it is kept."""
    changes: dict[str, Any]
    wishes: Wishes | None = None
    prefixes: Sequence[str] = ()
    possible: Callable[[int], bool] = field(default=lambda line: True)
    """Whether a translation of the line can keep it."""


class Drawn(Wishes):
    """Words required of each line by itself, as only terms could ask for them otherwise."""

    def __init__(self, tokenizer: Speller, words: Mapping[str, list[str]], forbidden: Sequence[str] = ()) -> None:
        super().__init__(tokenizer, forbidden, [word for each in words.values() for word in each])
        self.words = words

    def words_for(self, source: str, first: bool = True) -> list[str]:
        """The words drawn for a line."""
        return self.words[source]


def controlled(subject: Subject) -> Drawn:
    """Forbidden words that are frequent, and a required one of each line that is less so."""
    frequent, random = common(words_in(subject.references), 200), Random(4)
    return Drawn(
        subject.tokenizer, {source: sampled(random, frequent[10:], 1) for source in subject.sources}, frequent[:10]
    )


def constraints(subject: Subject) -> Iterator[Promise]:
    """The promise for each task."""
    usual = {name: subject.translate(subject.sources, {"decoding": name}) for name in ("beam", "greedy", "sample")}
    said = words_in(translation.text for translation in usual["beam"])
    for task in [*forbidding(subject, said), *requiring(subject), *beginning(subject), *shaping(subject)]:
        with Stopwatch() as watch:
            found = subject.translate(subject.sources, task.changes, task.wishes, task.prefixes)
            off = subject.off(found)
        lines = [line for line in range(len(found)) if task.possible(line)]
        best = {line: found[line].hypotheses[0] for line in lines}
        wrong = {line: broken for line in lines if (broken := task.breaks(line, best[line]))}
        plain = usual[task.changes["decoding"]]
        unasked = sum(bool(task.breaks(line, plain[line].hypotheses[0])) for line in lines)
        broken = [
            {"line": line + 1, "breaks": breaks, "text": best[line].text, "finished": best[line].finished}
            for line, breaks in wrong.items()
        ]
        yield Promise(f"{task.name}, {task.changes['decoding']}", len(lines), watch.processor, broken, unasked, off)


def forbidding(subject: Subject, said: Counter[str]) -> Iterator[Task]:
    """Words that the model would like to say: the most frequent ones, and ones of many tokens."""
    tokens = subject.tokenizer.encode_target([*said])
    longest = sorted(zip(said, tokens, strict=True), key=lambda pair: -len(pair[1]))
    for name, words in (
        ("the 30 most frequent words and '.'", [*common(said, 30), "."]),
        ("100 words of the most tokens", [word for word, _ in longest[:100]]),
    ):
        for changes in (BEAM, GREEDY, SAMPLE):

            def breaks(line: int, best: TextHypothesis, words: list[str] = words) -> list[str]:
                return checks.found(words, best.text)

            yield Task(f"forbidden: {name}", breaks, changes, wishes(subject, forbid=words))


def requiring(subject: Subject) -> Iterator[Task]:
    """Words of the reference, words that have nothing to do with the line, and terms."""
    random, frequent = Random(1), common(words_in(subject.references), 200)
    both = [frequent[-1], " ".join(frequent[-3:-1])]
    yield Task(
        "required: two phrases of all lines",
        lambda _, h: checks.missing(both, h.text),
        BEAM,
        wishes(subject, require=both),
    )
    for name, choice in (("of the reference", None), ("that fit badly", frequent)):
        drawn = {
            source: fitting(subject, sampled(random, choice or words_of(reference), random.randint(1, 3)))
            for source, reference in zip(subject.sources, subject.references, strict=True)
        }

        def lacks(line: int, best: TextHypothesis, drawn: dict[str, list[str]] = drawn) -> list[str]:
            return checks.missing(drawn[subject.sources[line]], best.text)

        yield Task(f"required: 1 to 3 words {name}", lacks, BEAM, Drawn(subject.tokenizer, drawn))
    yield from terminology(subject, frequent)


def terminology(subject: Subject, frequent: Sequence[str]) -> Iterator[Task]:
    """Terms for the most frequent words of the source, and for pairs of them, drawn at random."""
    random = Random(2)
    pairs = Counter(" ".join(pair) for line in subject.sources for pair in pairwise(line.split(" ")))
    terms = [*common(words_in(subject.sources), 40), *common(pairs, 20)]
    targets = [*sampled(random, frequent, 40), *(" ".join(sampled(random, frequent, 2)) for _ in range(10))]
    entries = {term: random.choice(targets) for term in terms if term.strip(".,")}
    for ignore_case in (False, True):
        written = {term.upper() if ignore_case else term: target for term, target in entries.items()}
        wanted = [checks.asked_for(written, source, ignore_case) for source in subject.sources]
        name = "terms in any case" if ignore_case else "terms"
        yield Task(
            f"{name}: {len(entries)} words and pairs of the source",
            lambda line, best, wanted=wanted: checks.missing(wanted[line], best.text),
            BEAM,
            wishes(subject, terms=written, ignore_case=ignore_case),
            possible=lambda line, wanted=wanted: fitting(subject, wanted[line]) == wanted[line],
        )


def beginning(subject: Subject) -> Iterator[Task]:
    """The reference's first words, their last one whole or not; and together with forbidden and required words."""
    random = Random(3)
    prefixes = [prefix(random, reference) for reference in subject.references]
    for changes in (BEAM, GREEDY, SAMPLE):
        yield Task(
            "prefix: the first 1 to 4 words",
            lambda line, best: [] if checks.begins(prefixes[line], best.text) else [prefixes[line]],
            changes,
            Wishes(subject.tokenizer),
            prefixes,
        )
    together = controlled(subject)

    def breaks(line: int, best: TextHypothesis) -> list[str]:
        unavoidable = checks.fixed(together.forbidden, prefixes[line])
        avoidable = [word for word in together.forbidden if word not in unavoidable]
        lost = checks.missing(together.words[subject.sources[line]], best.text)
        wrong = [] if checks.begins(prefixes[line], best.text) else [prefixes[line]]
        return [*checks.found(avoidable, best.text), *lost, *wrong]

    yield Task("prefix, 10 forbidden words and a required one", breaks, BEAM, together, prefixes)


def shaping(subject: Subject) -> Iterator[Task]:
    """No repetitions, and lengths."""
    sizes = [len(tokens) for tokens in subject.tokenizer.encode_source(subject.sources)]
    for changes in (BEAM, GREEDY, SAMPLE):
        yield Task(
            "no 2 tokens in a row twice",
            lambda _, best: checks.repeated(best.tokens, 2),
            {**changes, "no_repeat_ngram": 2},
        )
        yield Task(
            "at least 1.5 tokens per source token",
            lambda line, best: max(0, ceil(1.5 * sizes[line]) - len(best.tokens)),
            {**changes, "min_output_ratio": 1.5},
        )
        yield Task(
            "at most 0.05 tokens per source token, plus 20",
            lambda line, best: max(0, len(best.tokens) + best.finished - ceil(0.05 * sizes[line]) - 20),
            {**changes, "max_output_ratio": 0.05},
        )


def wishes(
    subject: Subject,
    forbid: Sequence[str] = (),
    require: Sequence[str] = (),
    terms: Mapping[str, str] | None = None,
    ignore_case: bool = False,
) -> Wishes | None:
    """What the command line would make of flags and files with these words."""
    with TemporaryDirectory() as scratch:
        words, table = Path(scratch) / "words", Path(scratch) / "terms"
        words.write_text("\n".join(forbid), encoding="utf-8")
        table.write_text("\n".join(f"{a}\t{b}" for a, b in (terms or {}).items()), encoding="utf-8")
        asked = read_control(None, None, None, words, [*require], table if terms else None, ignore_case)
        return asked.wishes(subject.tokenizer)
