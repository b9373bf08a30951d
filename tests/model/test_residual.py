"""Where norms stand, and how branches begin."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from mtcli import catalog
from mtcli.model.build import build
from mtcli.model.residual import PreNorm
from mtcli.settings import ModelSettings

DIM = 6


@torch.no_grad()
def test_norms_stand_where_their_papers_say() -> None:
    x, norm, branch = torch.randn(2, 3, DIM), nn.LayerNorm(DIM), nn.Linear(DIM, DIM)
    expected = {
        "pre": x + branch(norm(x)),  # Xiong et al. 2020, table 1
        "post": norm(x + branch(x)),  # Vaswani et al. 2017, 3.1
    }
    for name in catalog.NORM:
        kind: type[PreNorm] = catalog.load("norm", name)
        around = kind(lambda: nn.LayerNorm(DIM), 0.0)
        torch.testing.assert_close(around.join(x, branch(around.enter(x))), expected[name])


def parameters(**changes: object) -> dict[str, Tensor]:
    torch.manual_seed(1)
    shape = {"encoder_layers": 4, "decoder_layers": 9, "model_dim": 16, "feed_forward_dim": 24, "heads": 4}
    return dict(build(ModelSettings(**shape, **changes), 11, 11, joint=True).named_parameters())


@pytest.mark.parametrize("activation", catalog.ACTIVATION)
@pytest.mark.parametrize("key_value_heads", [0, 1])
def test_branches_after_which_a_norm_stands_begin_the_smaller_the_higher_they_stand(
    activation: str, key_value_heads: int
) -> None:
    """Zhang, Titov & Sennrich 2019: every matrix of layer l is 1 / sqrt(l) times smaller; no other parameter is."""
    kind = {"activation": activation, "key_value_heads": key_value_heads}
    pre, post = parameters(norm="pre", **kind), parameters(norm="post", **kind)
    for name, weight in post.items():
        inside = "blocks" in name and weight.dim() > 1
        layer = int(name.split(".")[2]) + 1 if inside else 1
        torch.testing.assert_close(weight, pre[name] / layer**0.5)
