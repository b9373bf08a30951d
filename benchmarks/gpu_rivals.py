"""The training loops that one would write oneself: with PyTorch's own Transformer, or with transformers' Marian."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtcli.layout import PAD, Batch
from mtcli.settings import ModelSettings

Stream = Iterator[tuple[Batch, Any]]
DROPOUT = SMOOTHING = 0.1


def plain(settings: ModelSettings, pieces: int, batches: Stream, device: torch.device) -> Callable[[], Batch]:
    """Steps of `nn.Transformer` with sinusoids and tied embeddings, in bf16 by autocast."""
    model = Plain(settings, pieces).to(device)

    def loss(batch: Batch) -> Tensor:
        logits: Tensor = model(batch.source, batch.target_in)
        return F.cross_entropy(
            logits.flatten(0, 1).float(), batch.target_out.flatten(), ignore_index=PAD, label_smoothing=SMOOTHING
        )

    return trained(model, loss, batches, device)


def marian(settings: ModelSettings, pieces: int, batches: Stream, device: torch.device) -> Callable[[], Batch]:
    """Steps of `MarianMTModel` by the loop that its users write."""
    from transformers import MarianConfig, MarianMTModel

    sizes = {"d_model": settings.model_dim, "vocab_size": pieces, "decoder_vocab_size": pieces}
    for side in ("encoder", "decoder"):
        sizes |= {f"{side}_layers": getattr(settings, f"{side}_layers")}
        sizes |= {f"{side}_attention_heads": settings.heads, f"{side}_ffn_dim": settings.feed_forward_dim}
    config = MarianConfig(**sizes, dropout=DROPOUT, pad_token_id=PAD, max_position_embeddings=512, use_cache=False)
    model = MarianMTModel(config).to(device)

    def loss(batch: Batch) -> Tensor:
        logits = model(
            input_ids=batch.source, attention_mask=batch.source != PAD, decoder_input_ids=batch.target_in
        ).logits
        return F.cross_entropy(
            logits.flatten(0, 1).float(), batch.target_out.flatten(), ignore_index=PAD, label_smoothing=SMOOTHING
        )

    return trained(model, loss, batches, device)


def trained(
    model: nn.Module, loss: Callable[[Batch], Tensor], batches: Stream, device: torch.device
) -> Callable[[], Batch]:
    """Steps that minimise a loss: bf16 by autocast, AdamW, gradients clipped."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.98), eps=1e-9, fused=True)
    model.train()

    def step() -> Batch:
        batch = next(batches)[0]
        with torch.autocast(device.type, dtype=torch.bfloat16):
            value = loss(batch.to(device))
        value.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return batch

    return step


class Plain(nn.Module):
    """An encoder-decoder around `nn.Transformer`."""

    def __init__(self, settings: ModelSettings, pieces: int) -> None:
        super().__init__()
        dim = settings.model_dim
        self.embedding = nn.Embedding(pieces, dim)
        nn.init.normal_(self.embedding.weight, std=dim**-0.5)
        self.register_buffer("positions", torch.randn(512, dim), persistent=False)  # what they are costs the same
        self.transformer = nn.Transformer(
            dim,
            settings.heads,
            settings.encoder_layers,
            settings.decoder_layers,
            settings.feed_forward_dim,
            DROPOUT,
            batch_first=True,
            norm_first=True,
        )

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """The logits of every target token."""
        causal = nn.Transformer.generate_square_subsequent_mask(target.shape[1], device=target.device)
        vectors = self.transformer(
            self.embedded(source),
            self.embedded(target),
            tgt_mask=causal,
            tgt_is_causal=True,
            src_key_padding_mask=source == PAD,
            memory_key_padding_mask=source == PAD,
        )
        return F.linear(vectors, self.embedding.weight)

    def embedded(self, tokens: Tensor) -> Tensor:
        """Vectors of tokens with their positions."""
        vectors: Tensor = self.embedding(tokens) * self.embedding.embedding_dim**0.5
        return F.dropout(vectors + self.positions[: tokens.shape[1]], DROPOUT, self.training)
