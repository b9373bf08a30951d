"""What a run learns from: its tokenizer, and its corpora as tokens."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mtcli.checkpoint.store import Checkpoint
from mtcli.data import tokenizer as tokenizers
from mtcli.data.corpus import Account, Corpus, SentencePair, open_corpora
from mtcli.data.encoded import Encoded, encode
from mtcli.data.rows import digest_of_files
from mtcli.data.tokenizer import Tokenizer
from mtcli.errors import ModelError
from mtcli.settings import Recipe
from mtcli.training.links import linked
from mtcli.training.observer import Observer
from mtcli.training.ranks import Ranks


class Vocabulary(Protocol):
    """What a model has to know of a tokenizer."""

    @property
    def source_size(self) -> int:
        """Tokens of the source vocabulary, the special ones included."""

    @property
    def target_size(self) -> int:
        """Tokens of the target vocabulary, the special ones included."""

    @property
    def joint(self) -> bool:
        """Whether both languages share one vocabulary."""


@dataclass(frozen=True)
class Material:
    """Everything about the data that training needs; `fingerprint` changes when any of it does."""

    tokenizer: Tokenizer
    training: Encoded
    validation: Encoded
    validation_pairs: list[SentencePair]
    fingerprint: str


def gather(recipe: Recipe, directory: Path, stored: Checkpoint | None, observer: Observer, ranks: Ranks) -> Material:
    """Read, tokenise and encode; what was encoded before, by the first rank too, comes from the cache."""
    training, valid = opened(recipe.data.train, recipe), opened(recipe.data.valid, recipe)
    tokenizer = ranks.lead(lambda: chosen_tokenizer(recipe, training, directory, stored, observer))
    with ranks.in_turn():
        return encoded(recipe, training, valid, tokenizer, observer)


def encoded(
    recipe: Recipe, training: Sequence[Corpus], valid: Sequence[Corpus], tokenizer: Tokenizer, observer: Observer
) -> Material:
    """The corpora as tokens."""
    account = Account()
    corpus = learned_from(recipe, training, tokenizer, cache_directory(), account)
    observer.say(f"training corpus: {account}")
    show_examples(account, observer)
    pairs = list(pairs_of(valid, Account()))
    account = Account()
    held_out = encode(valid, tokenizer, recipe.data.max_length, cache_directory(), account)
    observer.say(f"validation corpus: {account}")
    show_examples(account, observer)
    alignments = [digest_of_files([*recipe.data.alignments])] if recipe.data.alignments else []
    fingerprint = digest([*(corpus.fingerprint() for corpus in training), tokenizer.digest, *alignments])
    return Material(tokenizer, corpus, held_out, pairs, fingerprint)


def learned_from(
    recipe: Recipe, training: Sequence[Corpus], tokenizer: Tokenizer, cache: Path, account: Account
) -> Encoded:
    """The training corpus as tokens, with its word alignments if the recipe names some."""
    corpus = encode(training, tokenizer, recipe.data.max_length, cache, account)
    if not recipe.data.alignments:
        return corpus
    return linked(corpus, training, recipe.data.alignments, tokenizer, recipe.data.max_length, cache)


def opened(names: Sequence[str], recipe: Recipe) -> list[Corpus]:
    """The corpora of these names."""
    return open_corpora(names, recipe.data.source_lang, recipe.data.target_lang, recipe.data.strict)


def chosen_tokenizer(
    recipe: Recipe, training: Sequence[Corpus], directory: Path, stored: Checkpoint | None, observer: Observer
) -> Tokenizer:
    """The tokenizer that the run already has, the one it was told to use, or one trained now."""
    if stored:
        return same_tokenizer(Tokenizer.from_bytes(stored.tokenizer), recipe.tokenizer.tokenizer)
    if recipe.tokenizer.tokenizer:
        return Tokenizer.load(Path(recipe.tokenizer.tokenizer))
    observer.say("training the tokenizer")
    home = directory / "tokenizer"
    trained = tokenizers.train(pairs_of(training, Account()), recipe.tokenizer, home)
    for sentence in trained.notes():
        observer.warn(sentence)
    return trained.tokenizer


def same_tokenizer(stored: Tokenizer, named: str) -> Tokenizer:
    """The run's own tokenizer; `ModelError` if the directory that it was taken from holds another one by now."""
    if named and Path(named).exists() and Tokenizer.load(Path(named)).digest != stored.digest:
        raise ModelError(
            f"the tokenizer in {named} is no longer the one that this run began with",
            "restore it to go on (the run's own copy is in its checkpoints), or choose another directory with -o",
        )
    return stored


def pairs_of(corpora: Sequence[Corpus], account: Account) -> Iterator[SentencePair]:
    """All pairs of several corpora, one after the other."""
    return (pair for corpus in corpora for pair in corpus.pairs(account))


def show_examples(account: Account, observer: Observer) -> None:
    """Tell where the first dropped pairs stand."""
    for dropped in account.examples:
        observer.warn(f"dropped: {dropped}")


def cache_directory() -> Path:
    """Where encoded corpora are kept between runs: $MTCLI_CACHE, or mtcli in the user's cache folder."""
    if chosen := os.environ.get("MTCLI_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mtcli"


def digest(parts: Sequence[str]) -> str:
    """One hash of several."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
