"""Greedy search and sampling: one loop that extends each hypothesis by one token, with two ways to choose it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mtcli.decoding.contradiction import refuse_impossible
from mtcli.decoding.control import Control
from mtcli.decoding.filters import epsilon_cutoff, exact, log_probs_of, min_p, temperature, top_k, top_p
from mtcli.decoding.hypothesis import Hypothesis
from mtcli.decoding.noise import gumbel, keys_of, split
from mtcli.decoding.request import Request
from mtcli.decoding.selection import likeliest
from mtcli.layout import BOS, EOS
from mtcli.model.seq2seq import Memory, Seq2Seq
from mtcli.settings import DecodingSettings

Choose = Callable[[Float[Tensor, "n v"], Int[Tensor, " n"]], Int[Tensor, " n"]]
"""From the logits of `n` hypotheses, and a key to random numbers for each, to their next tokens."""

NOTHING = -1
"""Stands behind the end of a hypothesis; not PAD, which NaN logits can choose."""


def greedy(
    model: Seq2Seq[Any],
    memory: Memory,
    requests: Sequence[Request],
    settings: DecodingSettings,
) -> list[list[Hypothesis]]:
    """The one hypothesis per sentence that takes the likeliest token at each step.

    Raises `UsageError` if more than one translation per sentence is asked for.
    """
    refuse_impossible("greedy", settings)
    keys = torch.zeros(len(requests), 1, longest(requests), device=memory.values.device, dtype=torch.int64)
    return roll_out(model, memory, requests, keys, lambda log_probs, _: likeliest(log_probs), settings)


def sample(
    model: Seq2Seq[Any],
    memory: Memory,
    requests: Sequence[Request],
    settings: DecodingSettings,
) -> list[list[Hypothesis]]:
    """`n_best` independent samples per sentence, in the order drawn, from the model's filtered distribution.

    What is drawn for a sentence depends on its seed, not on the batch around it; the first of many samples is the
    same as a single one.
    """

    def choose(logits: Float[Tensor, "n v"], keys: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
        # The Gumbel-max trick. Where a number falls in the distribution function would be cheaper, but turns with
        # the rounding errors of all tokens before it, and these depend on the batch.
        return (filtered(logits, settings) + gumbel(keys, logits.shape[-1])).argmax(-1)

    seeds = keys_of([request.seed for request in requests], memory.values.device)
    keys = split(split(seeds, settings.n_best), longest(requests))
    return roll_out(model, memory, requests, keys, choose, settings)


def longest(requests: Sequence[Request]) -> int:
    """The most tokens predicted for any sentence."""
    return max(request.limit for request in requests)


def roll_out(
    model: Seq2Seq[Any],
    memory: Memory,
    requests: Sequence[Request],
    keys: Int[Tensor, "b w l"],
    choose: Choose,
    settings: DecodingSettings,
) -> list[list[Hypothesis]]:
    """Extend `w` hypotheses per sentence until each has ended or reached its limit of at most `l` tokens."""
    device = memory.values.device
    sentences, width, most = keys.shape
    outputs = torch.full((sentences, width, most), NOTHING, device=device)
    log_probs = torch.zeros(sentences, width, device=device, dtype=exact(device))
    limits = torch.tensor([request.limit for request in requests], device=device)
    searched = torch.arange(sentences, device=device)
    growing = torch.ones(sentences, width, device=device, dtype=torch.bool)
    tokens = torch.full((sentences * width,), BOS, device=device)
    state, control = model.start(memory, width), Control.of(requests, settings)
    for time in range(most):
        logits, state = model.step(tokens, state)
        possible = log_probs_of(logits)
        allowed = possible
        if control:
            allowed = control(possible, outputs[searched, :, :time].flatten(0, 1), searched.tolist())
        tokens = choose(allowed, keys[searched, :, time].flatten())
        gained = possible.gather(-1, tokens[:, None]).squeeze(-1)
        outputs[searched, :, time] = tokens.view(-1, width).where(growing, NOTHING)
        log_probs[searched] += gained.view(-1, width).where(growing, 0)
        growing = growing & (tokens.view(-1, width) != EOS) & (time + 1 < limits[searched, None])
        kept = growing.any(-1)
        if not kept.any():
            break
        if not kept.all():
            rows = torch.arange(len(tokens), device=device).view(-1, width)[kept].flatten()
            searched, growing, tokens, state = searched[kept], growing[kept], tokens[rows], model.select(state, rows)
    return [
        [hypothesis(*pair, settings) for pair in zip(*sentence, strict=True)]
        for sentence in zip(outputs.tolist(), log_probs.tolist(), strict=True)
    ]


def hypothesis(output: list[int], log_prob: float, settings: DecodingSettings) -> Hypothesis:
    """The hypothesis that a row of predicted tokens, padded at the end, stands for."""
    predicted = [token for token in output if token != NOTHING]
    finished = predicted[-1] == EOS
    return Hypothesis.of(predicted[:-1] if finished else predicted, log_prob, finished, settings)


def filtered(logits: Float[Tensor, "n v"], settings: DecodingSettings) -> Float[Tensor, "n v"]:
    """The logits to sample from: temperature, top-k, top-p, min-p, epsilon, each given what the one before left."""
    logits = temperature(logits, settings.temperature)
    if settings.top_k:
        logits = top_k(logits, settings.top_k)
    if settings.top_p < 1:
        logits = top_p(logits, settings.top_p)
    if settings.min_p:
        logits = min_p(logits, settings.min_p)
    return epsilon_cutoff(logits, settings.epsilon_cutoff) if settings.epsilon_cutoff else logits
