"""Recurrent decoders: those whose context enters the cells, and those who look at the memory after the cells."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mtcli.kernels.causal_linear import precise
from mtcli.model.attention.recurrent import Additive, Dot, General, Look, Score, Seen, matrix, summary
from mtcli.model.cell import CellState, Stack
from mtcli.model.choice import Choice
from mtcli.model.linear import Linear
from mtcli.model.seq2seq import Memory


@dataclass(frozen=True)
class RecurrentState:
    """What a recurrent decoder remembers: per layer the state of each row, and the memory of each sentence."""

    length: int
    width: int
    cells: tuple[CellState, ...]
    seen: Seen
    fed: Float[Tensor, "n m"] | None = None
    """What was predicted from last, where that enters the next step."""

    @property
    def places(self) -> Int[Tensor, " 1"]:
        """The position of the next token in the target."""
        return torch.full((1,), self.length, device=self.seen.rows.lengths.device)

    def after(self, cells: tuple[CellState, ...], fed: Float[Tensor, "n m"] | None = None) -> RecurrentState:
        """The state one token later."""
        return RecurrentState(self.length + 1, self.width, cells, self.seen, fed)

    def select(self, rows: Int[Tensor, " n"]) -> RecurrentState:
        """The state whose row `i` continues the old row `rows[i]`; sentences without rows are dropped."""
        cells = tuple(tuple(part.index_select(0, rows) for part in cell) for cell in self.cells)
        fed = None if self.fed is None else self.fed.index_select(0, rows)
        sentences = rows[:: self.width] // self.width
        fewer = len(sentences) < len(self.seen.rows.lengths)
        seen = self.seen.select(sentences) if fewer else self.seen
        return RecurrentState(self.length, self.width, cells, seen, fed)


class Decoder(Choice, nn.Module, ABC):
    """A stack of cells that begins where the encoder ended, and a look at the memory for each token.

    Layer by layer the state begins as `tanh(W summary)` (Cho et al. 2014, A.1.2).
    """

    score: ClassVar[type[Score] | None] = None
    """How it weighs the memory; None: it does not."""
    local: ClassVar[bool] = False
    """Whether it may weigh a window of the memory only."""
    asks_first: ClassVar[bool] = False
    """Whether the state before a token looks at the memory, or the state after it."""

    def __init__(self, model_dim: int, stack: Callable[[int], Stack], look: Look, inputs: int = 2) -> None:
        super().__init__()
        self.stack = stack(inputs * model_dim)
        self.look = look
        self.parts = [cell.parts for cell in self.stack.cells]
        self.bridge = Linear(model_dim, *[model_dim] * sum(self.parts))
        nn.init.xavier_uniform_(self.bridge.weight)
        nn.init.zeros_(self.bridge.bias)

    def start(self, memory: Memory, width: int = 1) -> RecurrentState:
        """The state before the first token, with `width` rows for each sentence."""
        first = torch.tanh(self.bridge(summary(memory))).to(next(self.stack.parameters()).dtype)
        parts = iter(first.repeat_interleave(width, dim=0).chunk(sum(self.parts), dim=-1))
        cells = tuple(tuple(next(parts).contiguous() for _ in range(count)) for count in self.parts)
        return RecurrentState(0, width, cells, self.look.remember(memory))

    @abstractmethod
    def step(self, x: Float[Tensor, "n m"], state: RecurrentState) -> tuple[Float[Tensor, "n m"], RecurrentState]:
        """The vector to predict from after one more token per row, and the state with it."""

    @abstractmethod
    def forward(self, x: Float[Tensor, "b t m"], memory: Memory) -> Float[Tensor, "b t m"]:
        """The vectors to predict from after each token."""

    def watched(
        self, x: Float[Tensor, "b t m"], memory: Memory
    ) -> tuple[Float[Tensor, "b t m"], Float[Tensor, "b t s"]]:
        """`forward`, token by token, and the share that each of the memory's vectors has in each token's context."""
        state = self.start(memory)
        vectors: list[Tensor] = []
        weights: list[Tensor] = []
        for token in x.unbind(1):
            before = state
            vector, state = self.step(token, before)
            query = (before if self.asks_first else state).cells[-1][0]
            vectors.append(vector)
            weights.append(precise(self.look.weights(query[:, None], before.places, before.seen)))
        together = torch.cat(weights, dim=1)
        # local-p has multiplied them by its Gaussian
        return torch.stack(vectors, dim=1), together / together.sum(-1, keepdim=True)

    def glance(self, query: Float[Tensor, "n m"], state: RecurrentState) -> Float[Tensor, "n m"]:
        """The context of one query per row; the rows of a sentence ask its memory together."""
        together = query.view(-1, state.width, query.shape[-1])  # n m -> b w m
        context: Tensor = self.look(together, state.places, state.seen)
        return context.reshape(query.shape)


class Bahdanau(Decoder):
    """The context of the state before it enters the cells, beside the token (Bahdanau et al. 2015, 3.1).

    Predicts from state, context and token through a layer of tanh, where the paper has maxout. In a stack, the state
    that asks is that of the top.
    """

    score: ClassVar[type[Score] | None] = Additive
    asks_first = True

    def __init__(self, model_dim: int, stack: Callable[[int], Stack], look: Look) -> None:
        super().__init__(model_dim, stack, look)
        self.merge = nn.Linear(3 * model_dim, model_dim)
        nn.init.xavier_uniform_(self.merge.weight)
        nn.init.zeros_(self.merge.bias)

    def step(self, x: Float[Tensor, "n m"], state: RecurrentState) -> tuple[Float[Tensor, "n m"], RecurrentState]:
        """The vector to predict from after one more token per row, and the state with it."""
        hidden, context, state = self.move(x, state)
        return self.merged(hidden, context, x), state

    def forward(self, x: Float[Tensor, "b t m"], memory: Memory) -> Float[Tensor, "b t m"]:
        """The vectors to predict from after each token."""
        state = self.start(memory)
        hidden: list[Tensor] = []
        contexts: list[Tensor] = []
        for token in x.unbind(1):
            output, context, state = self.move(token, state)
            hidden.append(output)
            contexts.append(context)
        return self.merged(torch.stack(hidden, dim=1), torch.stack(contexts, dim=1), x)

    def move(
        self, x: Float[Tensor, "n m"], state: RecurrentState
    ) -> tuple[Float[Tensor, "n m"], Float[Tensor, "n m"], RecurrentState]:
        """The stack's output at one more token, the context that entered with it, and the state after it."""
        context = self.glance(state.cells[-1][0], state)
        hidden, cells = self.stack.step(torch.cat((x, context), dim=-1), state.cells)
        return hidden, context, state.after(cells)

    def merged(
        self, hidden: Float[Tensor, "*n m"], context: Float[Tensor, "*n m"], x: Float[Tensor, "*n m"]
    ) -> Float[Tensor, "*n m"]:
        """The vectors to predict from."""
        return torch.tanh(self.merge(torch.cat((hidden, context, x), dim=-1)))


class FixedVector(Bahdanau):
    """The same with one context for all tokens, the summary of the source (Cho et al. 2014, 2.2)."""

    score = None

    def forward(self, x: Float[Tensor, "b t m"], memory: Memory) -> Float[Tensor, "b t m"]:
        """The vectors to predict from after each token: as no context waits for a state, all at once."""
        state = self.start(memory)
        context: Tensor = self.look(x, state.places, state.seen)
        return self.merged(self.stack(torch.cat((x, context), dim=-1), state.cells), context, x)


class Luong(Decoder):
    """`tanh(W [context; h_t])` from the context of the stack's output `h_t` (Luong et al. 2015, eq. 5).

    With input feeding (3.3) this attentional vector enters the cells beside the next token.
    """

    reads = ("input_feeding",)
    local = True

    def __init__(self, model_dim: int, stack: Callable[[int], Stack], look: Look, input_feeding: bool) -> None:
        super().__init__(model_dim, stack, look, inputs=2 if input_feeding else 1)
        self.input_feeding = input_feeding
        self.merge = matrix(2 * model_dim, model_dim)

    def step(self, x: Float[Tensor, "n m"], state: RecurrentState) -> tuple[Float[Tensor, "n m"], RecurrentState]:
        """The attentional vector after one more token per row, and the state with it."""
        if self.input_feeding:
            x = torch.cat((x, torch.zeros_like(x) if state.fed is None else state.fed), dim=-1)
        hidden, cells = self.stack.step(x, state.cells)
        vector = self.merged(self.glance(hidden, state), hidden)
        return vector, state.after(cells, vector if self.input_feeding else None)

    def forward(self, x: Float[Tensor, "b t m"], memory: Memory) -> Float[Tensor, "b t m"]:
        """The attentional vectors after each token; all at once where none is fed back."""
        state = self.start(memory)
        if not self.input_feeding:
            hidden = self.stack(x, state.cells)
            places = torch.arange(x.shape[1], device=x.device)
            return self.merged(self.look(hidden, places, state.seen), hidden)
        vectors: list[Tensor] = []
        for token in x.unbind(1):
            vector, state = self.step(token, state)
            vectors.append(vector)
        return torch.stack(vectors, dim=1)

    def merged(self, context: Float[Tensor, "*n m"], hidden: Float[Tensor, "*n m"]) -> Float[Tensor, "*n m"]:
        """The attentional vectors."""
        return torch.tanh(self.merge(torch.cat((context, hidden), dim=-1)))


class LuongDot(Luong):
    """Luong's decoder with products of vectors as scores."""

    score = Dot


class LuongGeneral(Luong):
    """Luong's decoder with a matrix between the vectors."""

    score = General


class LuongConcat(Luong):
    """Luong's decoder with a layer over both vectors."""

    score = Additive
