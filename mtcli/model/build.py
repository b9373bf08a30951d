"""Settings to a model: the one place that refuses what cannot be built."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mtcli import catalog
from mtcli.errors import UsageError
from mtcli.model.plan import Plan
from mtcli.model.seq2seq import Seq2Seq
from mtcli.presets import stated
from mtcli.settings import ModelSettings


def build(settings: ModelSettings, source_size: int, target_size: int, joint: bool) -> Seq2Seq[Any]:
    """The model for vocabularies of these sizes; `joint` says whether they are one vocabulary.

    Parameters are drawn from PyTorch's default generator: seed it first. Raises `UsageError`.
    """
    refuse_impossible(settings, joint)
    return plan_of(settings).assemble(settings, source_size, target_size)


def refuse_impossible(settings: ModelSettings, joint: bool) -> None:
    """Raise one `UsageError` with every reason why these settings are no model."""
    plan = plan_of(settings)
    reasons = [*plan.reasons(settings)]
    if settings.tied_embeddings == "three-way" and not joint:
        reasons.append("three-way tied embeddings need a joint vocabulary; use --tied-embeddings two-way")
    if not reasons:  # what is read is known only of parts that fit together
        reasons += idle(settings)
    if reasons:
        raise UsageError("this model cannot be built", *(f"- {reason}" for reason in reasons))


def longest(settings: ModelSettings) -> int | None:
    """Tokens, EOS included, of the longest sentence that such a model can hold; None: any."""
    bounded = any(choice.bounded for choice in plan_of(settings).choices(settings))
    return settings.max_positions if bounded else None


def supports_attention(settings: ModelSettings) -> bool:
    """Whether such a model says how it looks at its source."""
    return plan_of(settings).supports_attention(settings)


def unpackable(settings: ModelSettings) -> list[str]:
    """Why sentences cannot share a row of such a model's input; empty if they can."""
    return [*plan_of(settings).unpackable(settings)]


def plan_of(settings: ModelSettings) -> type[Plan]:
    """How models of this architecture are put together."""
    plan: type[Plan] = catalog.load("architecture", settings.architecture)
    return plan


def idle(settings: ModelSettings) -> Iterator[str]:
    """A sentence for each changed setting that no part of the model reads.

    Those that a preset may have stated are left out: they were not chosen one by one.
    """
    read = reads(settings)
    for name, field in ModelSettings.model_fields.items():
        value = getattr(settings, name)
        if value != field.default and name not in read and not stated("model", name, value):
            yield f"{name} = {str(value).lower()} would change nothing: no part of this model reads it"


def reads(settings: ModelSettings) -> set[str]:
    """Every setting that the architecture or a chosen part of it reads."""
    plan = plan_of(settings)
    return set(plan.reads).union(*(choice.reads for choice in plan.choices(settings)))
