"""Validation: loss on the references, scores of decoded text, and a few translations to read."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import islice
from typing import Any

import torch

from mtcli.data.batches import in_order
from mtcli.decoding.translator import Translator
from mtcli.evaluation import evaluate
from mtcli.model.seq2seq import Seq2Seq
from mtcli.settings import Recipe
from mtcli.training.loss import batch_loss
from mtcli.training.material import Material
from mtcli.training.memory import DOUBLINGS, attempted, parts_of
from mtcli.training.observer import Sample, Validation
from mtcli.training.state import TrainState


class Validator:
    """Knows the validation corpus, and judges a model on it."""

    def __init__(self, material: Material, recipe: Recipe) -> None:
        lines = recipe.training.validation_lines or len(material.validation_pairs)
        self.pairs = material.validation_pairs[:: -(-len(material.validation_pairs) // lines)]
        self.encoded = material.validation
        self.tokenizer = material.tokenizer
        self.recipe = recipe
        self.decoding = recipe.decoding.model_copy(
            update={"decoding": recipe.training.validation_decoding, "n_best": 1}
        )

    def __call__(self, state: TrainState) -> Validation:
        """Judge the model; neither its state nor any random generator changes. The ranks share the work."""
        started = time.monotonic()
        ranks = state.ranks
        with state.holding.whole(state.judged) as model, state.precision.autocast():
            loss = self.loss(model, state)
            mine = [pair.source for pair in self.pairs[ranks.rank :: ranks.world]]
            texts = ranks.interleaved(self.translated(mine, model, state.device))
        references = [pair.target for pair in self.pairs]
        scores = evaluate(texts, [references], ["bleu", "chrf"], self.recipe.data.target_lang)
        return Validation(loss, scores, self.samples(texts), time.monotonic() - started)

    def translated(self, lines: Sequence[str], model: Seq2Seq[Any], device: torch.device) -> list[str]:
        """Their translations; where memory runs out fewer are decoded together, which changes none of them."""
        for _ in range(DOUBLINGS):
            if (found := attempted(lambda: self.translate(lines, model, device))) is not None:
                return found
            fewer = max(1, self.decoding.batch_tokens // 2)
            self.decoding = self.decoding.model_copy(update={"batch_tokens": fewer})
        return self.translate(lines, model, device)

    def translate(self, lines: Sequence[str], model: Seq2Seq[Any], device: torch.device) -> list[str]:
        """One translation for each line."""
        translator = Translator(model, self.tokenizer, self.decoding, device)
        return [translation.text for translation in translator.translate(lines)]

    def samples(self, translations: Sequence[str]) -> list[Sample]:
        """A few translations, spread evenly."""
        count = self.recipe.training.samples
        every = max(1, len(translations) // max(1, count))
        shown = list(zip(self.pairs, translations, strict=True))[::every][:count]
        return [Sample(pair.source, pair.target, text) for pair, text in shown]

    @torch.inference_mode()
    def loss(self, model: Seq2Seq[Any], state: TrainState) -> float:
        """Nats per target token, without smoothing, dropout or padding."""
        model.eval()
        ranks, parts = state.ranks, parts_of(state, self.recipe.training.split)
        total, tokens = 0.0, 0
        for batch in islice(in_order(self.encoded, self.recipe.training.max_tokens), ranks.rank, None, ranks.world):
            for part in batch.parts(parts):
                loss = batch_loss(model, part.to(state.device), smoothing=0.0)
                total += loss.total.item()
                tokens += part.target_tokens
        model.train()
        total, count = ranks.sum(total, float(tokens))
        return total / max(1, count)
