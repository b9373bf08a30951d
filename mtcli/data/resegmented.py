"""Batches whose sentences are cut into pieces anew in every epoch: subword regularisation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from mtcli.data.batches import ALL, Batches, Indices, by_length, cut, longer
from mtcli.data.encoded import Encoded
from mtcli.data.subwords import Cutter
from mtcli.data.tokenizer import Tokenizer
from mtcli.settings import TrainingSettings

# Neighbours in the corpus that are drawn together: enough to make the price of a thread small.
BLOCK = 128
# Blocks from which is judged how much longer all become.
SAMPLE = 8


class Resegmented(Batches):
    """The batches of every epoch, in pieces of its own: they depend on seed, epoch and place in the corpus alone.

    An epoch is made pool by pool, as is needed, so that two pools of about `POOL` batches are the most that is held.
    A run that goes on in its midst makes what comes before again, because lengths decide which pairs a batch has.
    """

    def __init__(self, corpus: Encoded, tokenizer: Tokenizer, settings: TrainingSettings, max_length: int) -> None:
        """Draw for those sides whose kind of tokenizer the settings speak of; no side gets over `max_length`."""
        super().__init__(corpus, settings.max_tokens, settings.seed)
        models = [*tokenizer.files().values()]
        self.cutters = [Cutter.of(model, settings) for model in (models[0], models[-1])]
        self.max_length = max_length
        self.blocks = -(-len(corpus) // BLOCK)

    def through(self, number: int) -> Iterator[tuple[Encoded, Indices]]:
        """The batches of an epoch; whole blocks are shuffled into pools, then their pairs and batches."""
        generator = np.random.default_rng([self.seed, number])
        order = generator.permutation(self.blocks)
        for pool in np.array_split(order, min(self._pools(), self.blocks)):
            corpus = self.drawn(number, pool)
            pairs = by_length(corpus, generator.permutation(len(corpus)))
            batches = list(cut(corpus, pairs, self.max_tokens))
            for index in generator.permutation(len(batches)):
                yield corpus, batches[index]

    def steps_per_epoch(self, epoch: int = 0) -> int:
        """About as many batches as an epoch has, judged by how much longer some blocks become."""
        blocks = np.arange(self.blocks)[:: -(-self.blocks // SAMPLE)]
        before = sum(longer(self.corpus, self.pairs(block)).sum() for block in blocks)
        growth = longer(self.drawn(epoch, blocks), ALL).sum() / before
        return round(super().steps_per_epoch(epoch) * float(growth))

    def drawn(self, number: int, blocks: Indices) -> Encoded:
        """The pairs of some blocks as an epoch has them, one block after the other."""
        rows: tuple[list[Sequence[int]], ...] = ([], [])
        for block in blocks:
            for side, sentences in enumerate((self.corpus.sources, self.corpus.targets)):
                plain = [sentences[pair].tolist() for pair in self.pairs(block)]
                seed = np.random.SeedSequence([self.seed, number, int(block), side]).generate_state(1)
                cutter = self.cutters[side]
                rows[side].extend(cutter.draw(plain, self.max_length, int(seed[0])) if cutter else plain)
        return Encoded.of(*rows)

    def pairs(self, block: int) -> Indices:
        """The pairs of a block."""
        return np.arange(block * BLOCK, min((block + 1) * BLOCK, len(self.corpus)))
