"""Where norms stand, and what a deep stack does to its branches."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from torch import nn

from mtcli import catalog
from mtcli.model.build import build
from mtcli.model.residual import PreNorm
from mtcli.settings import ModelSettings

DIM = 6


def residual(name: str, encoders: int, decoders: int, causal: bool) -> PreNorm:
    settings = ModelSettings(encoder_layers=encoders, decoder_layers=decoders, norm=name, dropout=0.0)
    kind: type[PreNorm] = catalog.load("norm", name)
    return kind.directed(settings, partial(nn.LayerNorm, DIM), causal)


@pytest.mark.parametrize("causal", [False, True])
def test_norms_stand_where_their_papers_say(causal: bool) -> None:
    x, norm, branch = torch.randn(2, 3, DIM), nn.LayerNorm(DIM), nn.Linear(DIM, DIM)
    encoders, decoders = 5, 3
    alpha = 3**0.25 * decoders**0.25 if causal else 0.81 * encoders**0.25 * decoders ** (1 / 16)
    expected = {
        "pre": x + branch(norm(x)),  # Xiong et al. 2020, table 1
        "post": norm(x + branch(x)),
        "deep": norm(alpha * x + branch(x)),  # Wang et al. 2022, figure 2
    }
    for name in catalog.NORM:
        around = residual(name, encoders, decoders, causal)
        torch.testing.assert_close(around.join(x, branch(around.enter(x))), expected[name])


@pytest.mark.parametrize("key_value_heads", [0, 1])
def test_deep_branches_begin_smaller_and_the_others_as_they_were(key_value_heads: int) -> None:
    """Values, merged heads and feed-forward matrices by beta of Wang et al. 2022, figure 2; queries and keys not."""
    shape = {"encoder_layers": 4, "decoder_layers": 9, "model_dim": 16, "feed_forward_dim": 24, "heads": 4}
    models = {}
    for name in catalog.NORM:
        torch.manual_seed(1)
        settings = ModelSettings(norm=name, key_value_heads=key_value_heads, **shape)
        models[name] = build(settings, 11, 11, joint=True)
    plain, same, deep = (dict(models[name].named_parameters()) for name in ("pre", "post", "deep"))
    gains = {"encoder": 0.87 / (4 * 9 ** (1 / 4)) ** (1 / 4), "decoder": 1 / math.sqrt(math.sqrt(12 * 9))}
    values = 16 // (4 if key_value_heads else 1)
    for parameter, weight in deep.items():
        assert torch.equal(same[parameter], plain[parameter])
        gain = gains.get(parameter.split(".")[0], 1.0)
        scales = torch.ones_like(weight)
        if parameter.endswith(("merge.weight", "widen.weight", "narrow.weight")):
            scales *= gain
        if parameter.endswith("project.weight"):
            scales[-values:] *= gain
        torch.testing.assert_close(weight, plain[parameter] * scales)
