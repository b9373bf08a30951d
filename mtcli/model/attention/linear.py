"""Linear attention (Katharopoulos et al. 2020): weights are products of `elu(q) + 1` and `elu(k) + 1`."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from mtcli.model.attention.sums import SummedAttention


class LinearAttention(SummedAttention):
    """As many features as a head has dimensions, none of them learned or drawn (eq. 7)."""

    # Features of rotated vectors depend on more than offsets; rotated features may give negative weights, whose sum
    # may be 0 (Su et al. 2021, 3.3).
    supports_rotation = False

    def query_features(self, query: Float[Tensor, "b h q d"]) -> Float[Tensor, "b h q d"]:
        """The same map for queries."""
        return elu_plus_one(query)

    def key_features(self, key: Float[Tensor, "b g k d"]) -> Float[Tensor, "b g k d"]:
        """And for keys."""
        return elu_plus_one(key)


def elu_plus_one(x: Float[Tensor, "b h n d"]) -> Float[Tensor, "b h n d"]:
    """`x + 1` where x is positive, `exp(x)` elsewhere: written out, as `exp(x) - 1 + 1` is 0 in fp32 below -17."""
    return x.clamp(max=0).exp() + x.relu()
