"""What each target token adds to the text."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain

import torch
from jaxtyping import Int
from torch import Tensor

from mtcli.decoding.words import kind_of
from mtcli.layout import EOS


@dataclass(frozen=True)
class Branch:
    """Tokens that begin alike."""

    all: list[int] = field(default_factory=list)
    here: list[int] = field(default_factory=list)
    """Those that have no other characters than these."""
    longer: dict[str | bytes, Branch] = field(default_factory=dict)
    """The others, by their next character."""


class Spelling:
    """The characters of each token, or the byte that it stands for; nothing for the special ones."""

    def __init__(self, texts: Sequence[str | bytes]) -> None:
        self.texts = list(texts)

    def __len__(self) -> int:
        return len(self.texts)

    @cached_property
    def utf8(self) -> list[bytes]:
        """What each token adds, in UTF-8."""
        return [text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass") for text in self.texts]

    @cached_property
    def ordinary(self) -> list[int]:
        """The tokens that are not special and add something."""
        return [token for token, text in enumerate(self.texts) if token > EOS and text]

    @cached_property
    def by_first_byte(self) -> dict[int, list[int]]:
        """The ordinary tokens that begin with each byte."""
        groups = defaultdict(list)
        for token in self.ordinary:
            groups[self.utf8[token][0]].append(token)
        return groups

    @cached_property
    def tree(self) -> Branch:
        """The ordinary tokens by their characters; those that stand for bytes by these."""
        root = Branch()
        for token in self.ordinary:
            branch, text = root, self.texts[token]
            branch.all.append(token)
            for character in [text] if isinstance(text, bytes) else text:
                branch = branch.longer.setdefault(character, Branch())
                branch.all.append(token)
            branch.here.append(token)
        return root

    @cached_property
    def separators(self) -> Int[Tensor, " n"]:
        """The tokens after which a word before them is whole, the end of the text among them."""
        groups = [
            branch.all
            for first, branch in self.tree.longer.items()
            if isinstance(first, str) and kind_of(first) in ("blank", "other")
        ]
        return torch.tensor(sorted([EOS, *chain.from_iterable(groups)]))

    def written(self, tokens: Sequence[int]) -> bytes:
        """What several tokens add."""
        return b"".join(self.utf8[token] for token in tokens)
