"""Recurrent encoder-decoders, with the attention of Bahdanau et al. 2015 or Luong et al. 2015, or without."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mtcli.layout import Batch, Rows
from mtcli.model.cell import Cell
from mtcli.model.dropout import Dropout
from mtcli.model.embedding import Embedding
from mtcli.model.recurrent_decoder import Decoder, RecurrentState
from mtcli.model.seq2seq import Memory, Seq2Seq


class Recurrent(Seq2Seq[RecurrentState]):
    """Embeddings, an encoder that reads both ways, a decoder, dropout, and the output."""

    def __init__(
        self,
        source: Embedding,
        target: Embedding,
        encoder: Encoder,
        decoder: Decoder,
        output: nn.Linear,
        dropout: float,
    ) -> None:
        super().__init__()
        self.source = source
        self.target = target
        self.encoder = encoder
        self.decoder = decoder
        self.output = output
        self.dropout = Dropout(dropout)

    def encode(self, source: Int[Tensor, "b s"], rows: Rows) -> Memory:
        """Read the source."""
        return Memory(self.encoder(self.source(source), rows), rows)

    def readout(self, batch: Batch) -> Float[Tensor, "b t m"]:
        """The vectors from which `output` predicts each target token, given all target tokens before it."""
        memory = self.encode(batch.source, batch.source_rows)
        vectors: Tensor = self.dropout(self.decoder(self.target(batch.target_in), memory))
        return vectors

    @property
    def supports_attention(self) -> bool:
        """Whether contexts are means of the memory's vectors."""
        return self.decoder.look.supports_weights

    def readout_and_attention(self, batch: Batch) -> tuple[Float[Tensor, "b t m"], Float[Tensor, "b t s"]]:
        """`readout`, and how much the prediction of each target token looks at each source token, of one pass."""
        memory = self.encode(batch.source, batch.source_rows)
        vectors, weights = self.decoder.watched(self.target(batch.target_in), memory)
        return self.dropout(vectors), weights

    def start(self, memory: Memory, width: int = 1) -> RecurrentState:
        """The state before the first step; the memory's keys are computed once per sentence."""
        return self.decoder.start(memory, width)

    def step(self, tokens: Int[Tensor, " n"], state: RecurrentState) -> tuple[Float[Tensor, "n v"], RecurrentState]:
        """Feed one token to each row; return the logits of the next tokens and the state after it."""
        vectors, state = self.decoder.step(self.target(tokens[:, None])[:, 0], state)
        return self.output(self.dropout(vectors)), state

    def select(self, state: RecurrentState, rows: Int[Tensor, " n"]) -> RecurrentState:
        """The state whose row `i` continues the old row `rows[i]`."""
        return state.select(rows)


class Encoder(nn.Module):
    """Layers that read the sentence both ways, with dropout between them."""

    def __init__(self, layers: list[BothWays], dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.dropout = Dropout(dropout)

    def forward(self, x: Float[Tensor, "b s m"], rows: Rows) -> Float[Tensor, "b s m"]:
        """One vector per source token."""
        order = backwards(rows)
        for place, layer in enumerate(self.layers):
            x = layer(self.dropout(x) if place else x, order)
        return x


class BothWays(nn.Module):
    """One cell from the first token to the last, one from the last to the first (Schuster & Paliwal 1997)."""

    def __init__(self, ahead: Cell, back: Cell) -> None:
        super().__init__()
        self.ahead = ahead
        self.back = back

    def forward(self, x: Float[Tensor, "b s m"], order: Int[Tensor, "b s"]) -> Float[Tensor, "b s m"]:
        """Both outputs at each token beside each other."""
        back = arranged(self.back(arranged(x, order)), order)
        return torch.cat((self.ahead(x), back), dim=-1)


def backwards(rows: Rows) -> Int[Tensor, "b s"]:
    """The column that stands at each place when each sentence is turned round and its padding stays at the end.

    So read, no token comes after padding, as in packed sequences, but their lengths need not be known on the host.
    """
    return torch.where(rows.valid, rows.lengths[:, None] - 1 - rows.positions, rows.positions)


def arranged(x: Float[Tensor, "b s d"], order: Int[Tensor, "b s"]) -> Float[Tensor, "b s d"]:
    """Each row with its columns in another order."""
    first = order.shape[1] * torch.arange(len(order), device=order.device)[:, None]
    return x.flatten(0, 1).index_select(0, (first + order).flatten()).view_as(x)
