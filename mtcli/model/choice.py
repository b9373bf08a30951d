"""A part of a model that a name in the catalogue stands for, made from the settings that it reads."""

from __future__ import annotations

from typing import ClassVar, TypeVar

from mtcli.settings import ModelSettings

Chosen = TypeVar("Chosen", bound="Choice")


class Choice:
    """Declares what it reads; `build` refuses a changed setting that no chosen part reads."""

    reads: ClassVar[tuple[str, ...]] = ()
    """The model settings that its constructor takes, by the same names."""
    bounded: ClassVar[bool] = False
    """Whether it holds no more than `max_positions` tokens, which it then reads."""

    @classmethod
    def of(cls: type[Chosen], settings: ModelSettings) -> Chosen:
        """The part that these settings describe."""
        return cls(**{name: getattr(settings, name) for name in cls.reads})
