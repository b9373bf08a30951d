"""The line that says where a run stands."""

from __future__ import annotations

from dataclasses import replace

from mtcli.cli.show import describe
from mtcli.training.observer import Standing

CALM = Standing(
    step=1200,
    epoch=3,
    loss=2.5,
    lr=1e-3,
    tokens_per_second=5000.0,
    gradient_norm=0.7,
    loss_scale=None,
    seconds=60.0,
    remaining=None,
    skipped=0,
    rate_halvings=0,
    share_of_time={"steps": 1.0},
)


def test_a_halved_rate_is_shown() -> None:
    assert "lr 1.0e-03  " in describe(CALM)
    assert "lr 5.0e-04 (halved 1x)  " in describe(replace(CALM, lr=5e-4, rate_halvings=1))
