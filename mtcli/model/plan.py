"""What an architecture tells `build` about itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

from mtcli.model.choice import Choice
from mtcli.model.seq2seq import Seq2Seq
from mtcli.settings import ModelSettings


class Plan(ABC):
    """How the models of one architecture are put together; a line of `catalog.ARCHITECTURE`."""

    reads: ClassVar[tuple[str, ...]]
    """The model settings that it reads itself."""

    @classmethod
    @abstractmethod
    def choices(cls, settings: ModelSettings) -> list[type[Choice]]:
        """The parts chosen by name; asked only when there is no reason against them."""

    @classmethod
    @abstractmethod
    def reasons(cls, settings: ModelSettings) -> Iterator[str]:
        """Why these settings are no model of this architecture."""

    @classmethod
    @abstractmethod
    def supports_attention(cls, settings: ModelSettings) -> bool:
        """Whether the model will say how it looks at its source; asked as `choices` is."""

    @classmethod
    @abstractmethod
    def unpackable(cls, settings: ModelSettings) -> Iterator[str]:
        """Why sentences cannot share a row of the model's input; asked as `choices` is."""

    @classmethod
    @abstractmethod
    def assemble(cls, settings: ModelSettings, source_size: int, target_size: int) -> Seq2Seq[Any]:
        """The model for vocabularies of these sizes."""
