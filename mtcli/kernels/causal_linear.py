"""`tril(Q K^T) V` in time and memory linear in the tokens: the sums that linear attention's causal form needs.

Row `i` is `q_i (sum over j <= i of k_j v_j^T)` (Katharopoulos et al. 2020, section 3.3). To hold that sum for every
token would take tokens times features times values of memory; so the tokens are cut into chunks, within which the
product is taken as it stands, and one sum is held for each chunk. There is no loop: all chunks are one batch.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

CHUNK = 64
"""Tokens in a chunk: about as many as a head has dimensions, where the products within chunks cost what those between
them do. With 64 dimensions and 512 to 4,096 tokens, chunks of 32 and of 128 take 1.1 to 1.7 times as long (CPU)."""


def causal_product(
    query: Float[Tensor, "b h n f"], key: Float[Tensor, "b h n f"], value: Float[Tensor, "b h n e"]
) -> Float[Tensor, "b h n e"]:
    """The product in fp32 or wider, whatever comes in; a later row changes no bit of an earlier one."""
    tokens = query.shape[2]
    if tokens <= CHUNK:
        return plain_causal_product(query, key, value)
    with torch.autocast(query.device.type, enabled=False):
        query, key, value = chunked(precise(query)), chunked(precise(key)), chunked(precise(value))
        within = (query @ key.transpose(-1, -2)).tril() @ value  # b h chunks n e
        # The sum up to the last chunk is moved by one: subtracting each chunk's own part would leave its rounding.
        sums = (key.transpose(-1, -2) @ value)[:, :, :-1].cumsum(2)  # b h chunks-1 f e
        earlier = F.pad(query[:, :, 1:] @ sums, (0, 0, 0, 0, 1, 0))
        return (within + earlier).flatten(2, 3)[:, :, :tokens]


def plain_causal_product(
    query: Float[Tensor, "b h n f"], key: Float[Tensor, "b h n f"], value: Float[Tensor, "b h n e"]
) -> Float[Tensor, "b h n e"]:
    """The same by its formula, with a matrix of all tokens by all tokens."""
    with torch.autocast(query.device.type, enabled=False):
        return (precise(query) @ precise(key).transpose(-1, -2)).tril() @ precise(value)


def chunked(x: Float[Tensor, "b h n f"]) -> Float[Tensor, "b h c w f"]:
    """The tokens in chunks, the last one filled up with zeros."""
    return F.pad(x, (0, 0, 0, -x.shape[2] % CHUNK)).reshape(*x.shape[:2], -1, CHUNK, x.shape[-1])


def precise(x: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """The tensor in fp32, or wider if it is: in bf16, a sum stops growing after 256 equal terms."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
