"""Validation: loss on the references, scores of decoded text, and a few translations to read."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from mtcli.data.batches import in_order
from mtcli.data.corpus import SentencePair
from mtcli.data.encoded import Encoded
from mtcli.data.tokenizer import Tokenizer
from mtcli.decoding.translator import Translator
from mtcli.evaluation import Score, evaluate
from mtcli.settings import Recipe
from mtcli.training.loss import batch_loss
from mtcli.training.state import TrainState


@dataclass(frozen=True)
class Sample:
    """One translation beside what it should have been."""

    source: str
    reference: str
    translation: str


@dataclass(frozen=True)
class Validation:
    """What one validation found; `loss` is nats per target token without smoothing."""

    loss: float
    scores: list[Score]
    samples: list[Sample]
    seconds: float

    def value(self, metric: str) -> float:
        """The figure that `metric` names, turned so that higher is better."""
        if metric == "loss":
            return -self.loss
        return next(score.value for score in self.scores if score.name.lower().startswith(metric))

    def as_json(self) -> dict[str, Any]:
        """Loss, and scores with their signatures."""
        return {"loss": self.loss, "scores": {score.name: score.as_json() for score in self.scores}}


class Validator:
    """Knows the validation corpus, and judges a model on it."""

    def __init__(self, pairs: Sequence[SentencePair], encoded: Encoded, tokenizer: Tokenizer, recipe: Recipe) -> None:
        step = -(-len(pairs) // recipe.training.validation_lines) if recipe.training.validation_lines else 1
        self.pairs = pairs[::step]
        self.encoded = encoded
        self.tokenizer = tokenizer
        self.recipe = recipe

    def __call__(self, state: TrainState) -> Validation:
        """Judge the model; neither its state nor any random generator changes."""
        started = time.monotonic()
        settings = self.recipe.decoding.model_copy(
            update={"decoding": self.recipe.training.validation_decoding, "n_best": 1}
        )
        translator = Translator(state.model, self.tokenizer, settings, state.device)
        with state.precision.autocast():
            loss = self.loss(state)
            translations = translator.translate([pair.source for pair in self.pairs])
        texts = [translation.text for translation in translations]
        references = [pair.target for pair in self.pairs]
        scores = evaluate(texts, [references], ["bleu", "chrf"], self.recipe.data.target_lang)
        return Validation(loss, scores, self.samples(texts), time.monotonic() - started)

    def samples(self, translations: Sequence[str]) -> list[Sample]:
        """A few translations, spread evenly."""
        count = self.recipe.training.samples
        every = max(1, len(translations) // max(1, count))
        shown = list(zip(self.pairs, translations, strict=True))[::every][:count]
        return [Sample(pair.source, pair.target, text) for pair, text in shown]

    @torch.inference_mode()
    def loss(self, state: TrainState) -> float:
        """Nats per target token, without smoothing, dropout or padding."""
        state.model.eval()
        total, tokens = 0.0, 0
        for batch in in_order(self.encoded, self.recipe.training.max_tokens):
            loss = batch_loss(state.model, batch.to(state.device), smoothing=0.0)
            total += loss.total.item()
            tokens += loss.tokens
        state.model.train()
        return total / max(1, tokens)
