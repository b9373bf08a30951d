"""The flat decoder predicts what the model does that it is made of, whichever hypotheses and sentences go on."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
import torch

from mtcli.layout import BOS, EOS, Batch, pad
from mtcli.model.seq2seq import Seq2Seq
from mtcli.model.unrolled import Unrolled, unrolled
from tests.laws import models

SOURCES = models.sentences(3, [9, 2, 7, 5, 1, 4, 6])
STEPS = 36
"""More than two pools of slots."""


def expected(model: Seq2Seq[Any], sentences: list[int], texts: list[list[int]]) -> torch.Tensor:
    """The logits after each text, by reading it as a whole."""
    batch = Batch.of([SOURCES[sentence] for sentence in sentences], [text[1:] for text in texts])
    return model.output(model.readout(batch)[:, -1])


@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize("order", ["first", "last", "random"])
def test_predictions_do_not_change_when_sentences_end(order: str, width: int) -> None:
    random = Random(width)
    model = models.model(models.settings()).float()
    flat = unrolled(model)
    assert isinstance(flat, Unrolled)
    with torch.inference_mode():
        state = flat.start(flat.encode(*pad([[*source, EOS] for source in SOURCES])), width)
        sentences, texts = list(range(len(SOURCES))), [[BOS]] * (width * len(SOURCES))
        for step in range(STEPS):
            logits, state = flat.step(torch.tensor([text[-1] for text in texts]), state)
            assert torch.allclose(
                logits, expected(model, [s for s in sentences for _ in range(width)], texts), atol=1e-4
            )
            places = list(range(len(sentences)))
            if step % 5 == 2 and len(places) > 1:
                places.pop({"first": 0, "last": -1, "random": random.randrange(len(places))}[order])
            rows = [place * width + random.randrange(width) for place in places for _ in range(width)]
            texts = [[*texts[row], random.randrange(EOS + 1, models.VOCABULARY)] for row in rows]
            sentences = [sentences[place] for place in places]
            state = flat.select(state, torch.tensor(rows))
