"""Texts cut into pieces at random: subword sampling (Kudo 2018) for unigram models, BPE-dropout for BPE.

SentencePiece draws. Of its BPE-dropout: a merge that is left out stays so, while Provilkov et al. 2020 (algorithm 1)
draw again at each step; the same probability thus gives shorter pieces here than in the paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import sentencepiece

from mtcli.data.tokenizer import UNK, Tokenizer
from mtcli.settings import TrainingSettings

RESERVED = 2**32 - 1
"""The seeds are all numbers below."""


@dataclass(frozen=True)
class Cutter:
    """Cuts sentences of one language; `alpha` is what SentencePiece calls so."""

    processor: Any
    alpha: float

    @classmethod
    def of(cls, model: bytes, settings: TrainingSettings) -> Cutter | None:
        """For a serialized model, as the setting for its kind says; None if that is off."""
        processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        # For BPE alpha is the probability to leave out a merge; for unigram the exponent of likelihoods.
        match kind(processor):
            case "bpe" if settings.bpe_dropout:
                return cls(processor, settings.bpe_dropout)
            case "unigram" if settings.unigram_temperature:
                return cls(processor, 1 / settings.unigram_temperature)
        return None

    def draw(self, plain: Sequence[Sequence[int]], longest: int, seed: int) -> list[Sequence[int]]:
        """Other tokens for the same texts; kept are those with unknown characters, or that would get too long."""
        texts: list[str] = self.processor.decode(plain, num_threads=1)
        drawn = self.encode(texts, seed)
        return [new if len(new) <= longest and UNK not in old else old for old, new in zip(plain, drawn, strict=True)]

    def encode(self, texts: list[str], seed: int) -> list[list[int]]:
        """Random tokens; a function of all its arguments, but not of one text alone."""
        # Each thread has a generator of its own, which takes the seed when it is first used, and never again.
        with ThreadPoolExecutor(1) as fresh:
            return fresh.submit(self._encode, texts, seed).result()

    def _encode(self, texts: list[str], seed: int) -> list[list[int]]:
        sentencepiece.set_random_generator_seed(seed % RESERVED)
        # The size -1 is for unigram, and stands for all segmentations; bpe has no use for it.
        tokens: list[list[int]] = self.processor.encode(
            texts, enable_sampling=True, alpha=self.alpha, nbest_size=-1, num_threads=1
        )
        return tokens


def kind(processor: Any) -> str:
    """`unigram` or `bpe`, or nothing for models that know one segmentation only; told by what a model can do."""
    try:
        processor.sample_encode_as_ids("a", -1, 1.0)
    except RuntimeError:
        return ""
    try:
        processor.nbest_encode_as_ids("a", 2)
    except RuntimeError:
        return "bpe"
    return "unigram"


def kinds(tokenizer: Tokenizer) -> set[str]:
    """The kinds of a tokenizer's models."""
    return {kind(sentencepiece.SentencePieceProcessor(model_proto=model)) for model in tokenizer.files().values()}
