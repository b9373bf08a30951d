"""What each target token adds to the text."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from itertools import chain

from mtcli.decoding.words import kind_of
from mtcli.layout import EOS


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
    def by_first(self) -> dict[str | bytes, list[int]]:
        """The ordinary tokens that begin with each character; those that stand for bytes apart."""
        groups = defaultdict(list)
        for token in self.ordinary:
            groups[self.texts[token][:1]].append(token)
        return groups

    @cached_property
    def separators(self) -> list[int]:
        """The tokens after which a word before them is whole, the end of the text among them."""
        groups = [
            group
            for first, group in self.by_first.items()
            if isinstance(first, str) and kind_of(first) in ("blank", "other")
        ]
        return sorted([EOS, *chain.from_iterable(groups)])

    def written(self, tokens: Sequence[int]) -> bytes:
        """What several tokens add."""
        return b"".join(self.utf8[token] for token in tokens)
