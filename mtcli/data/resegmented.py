"""Batches whose sentences are cut into pieces anew in every epoch: subword regularisation."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mtcli.data.batches import Batches, Form, Padded, longer
from mtcli.data.encoded import Encoded, Sentences
from mtcli.data.packing import Packing
from mtcli.data.shards import Indices
from mtcli.data.subwords import Cutter, keys_of
from mtcli.data.tokenizer import Tokenizer
from mtcli.settings import Recipe, TrainingSettings

# Pairs from which is judged how much longer all become.
SAMPLE = 1000


def batches_of(corpus: Encoded, tokenizer: Tokenizer, recipe: Recipe) -> Batches:
    """A training corpus in batches, cut into pieces anew in every epoch if the recipe asks for it."""
    training, form = recipe.training, form_of(corpus, recipe)
    if training.bpe_dropout or training.unigram_temperature:
        return Resegmented(corpus, tokenizer, training, recipe.data.max_length, form)
    return Batches(corpus, training.max_tokens, training.seed, form)


def form_of(corpus: Encoded, recipe: Recipe) -> Form:
    """How a recipe lays out its batches."""
    max_tokens = recipe.training.max_tokens
    if recipe.training.layout == "packed":
        return Packing.of(corpus, max_tokens, recipe.data.max_length + 1)
    return Padded(max_tokens)


class Resegmented(Batches):
    """The batches of every epoch: the pieces of a pair depend on seed, epoch and the pair's number alone.

    A shard is made pool by pool, as it is needed: two pools of about `POOL` batches are the most that is held. A run
    that goes on in its midst makes what comes before again, because lengths decide which pairs a batch has.
    """

    def __init__(
        self,
        corpus: Encoded,
        tokenizer: Tokenizer,
        settings: TrainingSettings,
        max_length: int,
        form: Form | None = None,
    ) -> None:
        """Cut those sides whose kind of tokenizer the settings speak of; sides that would get too long stay."""
        super().__init__(corpus, settings.max_tokens, settings.seed, form)
        models = [*tokenizer.files().values()]
        self.cutters = (Cutter.of(models[0], settings), Cutter.of(models[-1], settings))
        self.max_length = max_length

    def through(self, epoch: int, shard: int = 0) -> Iterator[tuple[Encoded, Indices]]:
        """The batches of a shard of an epoch, in random order within their pool, each as pairs of that pool."""
        generator, pools = self.pools(epoch, shard)
        for pool in pools:
            corpus = self.drawn(epoch, pool)
            batches = list(self.form.batches(corpus, np.arange(len(pool))))
            for index in generator.permutation(len(batches)):
                yield corpus, batches[index]

    def steps_per_epoch(self, epoch: int = 0) -> int:
        """About as many batches as an epoch has, judged by how much longer some pairs become."""
        pairs = np.arange(0, len(self.corpus), -(-len(self.corpus) // SAMPLE))
        plain, drawn = longer(self.corpus, pairs), longer(self.drawn(epoch, pairs), np.arange(len(pairs)))
        return round(super().steps_per_epoch(epoch) * float(drawn.sum() / plain.sum()))

    def drawn(self, epoch: int, pairs: Indices) -> Encoded:
        """Some pairs as an epoch has them."""
        sides: list[Sentences] = []
        for side, sentences in enumerate((self.corpus.sources, self.corpus.targets)):
            plain, cutter = sentences.chosen(pairs), self.cutters[side]
            keys = keys_of([self.seed, epoch, side], pairs)
            sides.append(cutter.cut(plain, keys, self.max_length) if cutter else plain)
        return Encoded(*sides)
