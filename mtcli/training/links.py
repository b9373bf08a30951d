"""Word alignments that the user has, kept beside the pairs of a corpus as links between their tokens."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mtcli.data import columns
from mtcli.data.compressed import open_text
from mtcli.data.corpus import Account, Corpus, SentencePair
from mtcli.data.encoded import Encoded, Sentences, flat
from mtcli.data.lines import Line, read_lines
from mtcli.data.location import require_file
from mtcli.data.rows import digest_of_files
from mtcli.data.tokenizer import Tokenizer
from mtcli.decoding.alignment import Links
from mtcli.decoding.places import places
from mtcli.errors import DataError

FORMAT = 1
PAIRS = 10_000
"""Pairs whose links are written at once."""


@dataclass(frozen=True)
class Linked(Encoded):
    """Sentence pairs as tokens, and for each pair its links: target token, source token, target token, ..."""

    links: Sentences


def linked(
    corpus: Encoded,
    corpora: Sequence[Corpus],
    files: Sequence[str],
    tokenizer: Tokenizer,
    max_length: int,
    cache: Path,
) -> Linked:
    """The corpus that was encoded from `corpora`, with the alignments in `files`, one for each; kept in `cache`.

    `DataError` for a file that does not match its corpus line by line, or a link that is none of its pair's words.
    """
    identity = [[each.name, each.fingerprint()] for each in corpora]
    facts = ["links", FORMAT, identity, [*files], digest_of_files([*files]), tokenizer.digest, max_length]
    entry = cache / hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    stored = columns.read(entry)
    if stored is None:
        with columns.writing(entry) as writer:
            rows: list[list[int]] = []
            kind = np.min_scalar_type(max_length)
            for of_pair in every(corpora, files, tokenizer, max_length):
                rows.append(of_pair)
                if len(rows) == PAIRS:
                    write(writer, rows, kind)
                    rows = []
            write(writer, rows, kind)
            stored = writer.finish({})
    links = Sentences.laid(stored.arrays["links"], stored.arrays["lengths"])
    assert len(links) == len(corpus), "the pairs that are kept are those that were encoded"
    return Linked(corpus.sources, corpus.targets, links)


def write(writer: columns.Writer, rows: list[list[int]], kind: np.dtype[Any]) -> None:
    """Append the links of some pairs."""
    tokens, lengths = flat(rows, kind)
    writer.append("links", tokens)
    writer.append("lengths", lengths.astype(np.uint32))


def every(
    corpora: Sequence[Corpus], files: Sequence[str], tokenizer: Tokenizer, max_length: int
) -> Iterator[list[int]]:
    """The links of each pair that has a place in the encoded corpus, in order."""
    for corpus, file in zip(corpora, files, strict=True):
        for pair, line in beside(corpus, file):
            source = places(tokenizer.surfaces_source(pair.source))
            target = places(tokenizer.surfaces_reference(pair.target))
            if min(len(source), len(target)) > 0 and max(len(source), len(target)) <= max_length:
                yield among_tokens(words_of(line, file), source, target, f"{file} line {line.number:,}")


def beside(corpus: Corpus, file: str) -> Iterator[tuple[SentencePair, Line]]:
    """Each pair of a corpus with the line of the same number; lines of dropped pairs are passed over."""
    account, number = Account(), 0
    with open_text(require_file(file)) as stream:
        lines = read_lines(stream, file)
        for pair in corpus.pairs(account):
            assert pair.place is not None
            for line in lines:
                number = line.number
                if number == pair.place.line:
                    yield pair, line
                    break
        number += sum(1 for _ in lines)
    if number != account.read:
        raise DataError(
            f"{file} has {number:,} lines but the corpus {corpus.name} has {account.read:,} pairs",
            "alignments match the corpus line by line, empty lines included",
        )


def words_of(line: Line, file: str) -> Links:
    """The links in a line of Pharaoh's form, `0-0 1-2`, source and target word from 0."""
    found: list[tuple[int, int]] = []
    for link in line.text.split():
        source, _, target = link.partition("-")
        if not (source.isdecimal() and target.isdecimal()):
            raise DataError(
                f"{file} line {line.number:,}: {link!r} is no link",
                "links are written 0-0 1-2: the numbers of a source word and a target word, from 0",
            )
        found.append((int(source), int(target)))
    return tuple(found)


def among_tokens(
    links: Links, source: Sequence[Sequence[int]], target: Sequence[Sequence[int]], where: str
) -> list[int]:
    """Target and source token of each link, in turn: all tokens of linked words are linked, each two once.

    `source` and `target` say of which words the tokens are part.
    """
    sides = [tokens_of(source), tokens_of(target)]
    for link in links:
        for number, words, side in zip(link, sides, ("source", "target"), strict=True):
            if number >= len(words):
                raise DataError(
                    f"{where} links {side} word {number}, but there are {len(words)}, counted from 0",
                    "a word stands between white space; each character of a script without spaces is one",
                )
    pairs = {(there, here) for first, second in links for there in sides[1][second] for here in sides[0][first]}
    return [token for pair in sorted(pairs) for token in pair]


def tokens_of(places: Sequence[Sequence[int]]) -> list[list[int]]:
    """For each word the tokens that are part of it."""
    found: list[list[int]] = [
        [] for _ in range(1 + max((word for touched in places for word in touched), default=-1))
    ]
    for token, touched in enumerate(places):
        for word in touched:
            found[word].append(token)
    return found
