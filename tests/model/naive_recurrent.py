"""A recurrent model's output for one sentence pair, as the papers write it: vector by vector, token by token."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtcli.layout import BOS, EOS
from mtcli.model.attention.recurrent import Score
from mtcli.model.recurrent import Recurrent
from mtcli.settings import ModelSettings

State = tuple[Tensor, ...]


def readout(model: Recurrent, settings: ModelSettings, source: Sequence[int], target: Sequence[int]) -> Tensor:
    """What predicts each token of the target and its EOS."""
    memory = encoded(model, [embedded(model.source.table, token) for token in [*source, EOS]])
    first, last, half = memory[0], memory[-1], settings.model_dim // 2
    summary = torch.cat((last[:half], first[half:]))
    states = initial(model, settings, summary)
    fed = torch.zeros(settings.model_dim, dtype=torch.float64)
    vectors = []
    for place, token in enumerate([BOS, *target]):
        y = embedded(model.target.table, token)
        if settings.cross_attention.startswith("luong"):
            states = moved(model, torch.cat((y, fed)) if settings.input_feeding else y, states)
            h = states[-1][0]
            context = mean(weights(model, settings, h, memory, place), memory)
            fed = torch.tanh(model.decoder.merge.weight @ torch.cat((context, h)))  # eq. 5
            vectors.append(fed)
            continue
        context = summary
        if settings.cross_attention == "bahdanau":
            context = mean(weights(model, settings, states[-1][0], memory, place), memory)
        states = moved(model, torch.cat((y, context)), states)
        merge = model.decoder.merge
        vectors.append(torch.tanh(merge.weight @ torch.cat((states[-1][0], context, y)) + merge.bias))
    return torch.stack(vectors)


def embedded(table: nn.Embedding, token: int) -> Tensor:
    return table.weight[token] * table.embedding_dim**0.5


def encoded(model: Recurrent, x: list[Tensor]) -> list[Tensor]:
    for layer in model.encoder.layers:
        ahead = run(layer.ahead.layer, x)
        back = run(layer.back.layer, x[::-1])[::-1]
        x = [torch.cat(both) for both in zip(ahead, back, strict=True)]
    return x


def run(layer: nn.RNNBase, x: list[Tensor]) -> list[Tensor]:
    zero = torch.zeros(layer.hidden_size, dtype=torch.float64)
    state, outputs = (zero, zero), []
    for vector in x:
        state = cell(layer, vector, state)
        outputs.append(state[0])
    return outputs


def initial(model: Recurrent, settings: ModelSettings, summary: Tensor) -> list[State]:
    bridge, parts = model.decoder.bridge, 2 if settings.cell == "lstm" else 1
    pieces = torch.tanh(bridge.weight @ summary + bridge.bias).view(settings.decoder_layers, parts, -1)
    return [tuple(of_layer) for of_layer in pieces]


def moved(model: Recurrent, x: Tensor, states: list[State]) -> list[State]:
    after = []
    for layer, state in zip(model.decoder.stack.cells, states, strict=True):
        after.append(cell(layer.layer, x, state))
        x = after[-1][0]
    return after


def cell(layer: nn.RNNBase, x: Tensor, state: State) -> State:
    """Cho et al. 2014, eqs. 5 to 8; Hochreiter & Schmidhuber 1997 with Gers et al. 2000."""
    of_x = (layer.weight_ih_l0 @ x + layer.bias_ih_l0).view(-1, layer.hidden_size)
    of_h = (layer.weight_hh_l0 @ state[0] + layer.bias_hh_l0).view(-1, layer.hidden_size)
    if isinstance(layer, nn.GRU):
        reset, update = (of_x[:2] + of_h[:2]).sigmoid()
        new = torch.tanh(of_x[2] + reset * of_h[2])
        return (update * state[0] + (1 - update) * new,)
    enter, forget, leave = (of_x + of_h)[[0, 1, 3]].sigmoid()
    content = forget * state[1] + enter * torch.tanh(of_x[2] + of_h[2])
    return leave * content.tanh(), content


def score(name: str, module: Score, h: Tensor, of_memory: Tensor) -> Tensor:
    """Luong et al. 2015, eq. 8; Bahdanau et al. 2015, A.1.2."""
    if name == "luong-dot":
        return h.dot(of_memory)
    if name == "luong-general":
        return h.dot(module.of_key.weight @ of_memory)
    joint = torch.cat((module.of_query.weight, module.of_key.weight), dim=1)
    return module.outer.weight[0].dot(torch.tanh(joint @ torch.cat((h, of_memory))))


def weights(
    model: Recurrent, settings: ModelSettings, h: Tensor, memory: list[Tensor], place: int
) -> dict[int, Tensor]:
    """The weight of each source token that is seen; Luong et al. 2015, eqs. 7, 9 and 10."""
    attention, length, window = model.decoder.look, len(memory), settings.window
    seen = list(range(length))
    centre: float | Tensor = float(min(place, length - 1))
    if settings.alignment == "local-p":
        inner, outer = attention.alignment.inner.weight, attention.alignment.outer.weight
        centre = length * torch.sigmoid(outer[0].dot(torch.tanh(inner @ h)))
    if settings.alignment != "global":
        seen = [s for s in seen if centre - window <= s <= centre + window]
    scores = [score(settings.cross_attention, attention.score, h, memory[s]).exp() for s in seen]
    shares = {s: each / sum(scores) for s, each in zip(seen, scores, strict=True)}
    if settings.alignment == "local-p":
        deviation = window / 2
        shares = {s: w * torch.exp(-((s - centre) ** 2) / (2 * deviation**2)) for s, w in shares.items()}
    return shares


def mean(weights: dict[int, Tensor], memory: list[Tensor]) -> Tensor:
    return sum((weight * memory[s] for s, weight in weights.items()), torch.zeros_like(memory[0]))
