"""The variants of the family: all of the catalogue, each buildable or refused with a sentence, none twice."""

from __future__ import annotations

from collections import Counter

import pytest
from sizes import obstacle, parameters, resolved
from variants import FAIR, Variant, sized, variants

from mtcli import catalog

PIECES = 400
EVERY = list(variants())


def test_names_folders_and_settings_are_each_ones_own() -> None:
    for kind in (lambda v: v.name, lambda v: v.folder, lambda v: sorted(v.settings.items())):
        counts = Counter(str(kind(variant)) for variant in EVERY)
        assert set(counts.values()) == {1}, counts.most_common(1)


def test_the_first_changes_nothing() -> None:
    assert EVERY[0] == Variant("full", {})


@pytest.mark.parametrize(
    "table", ["attention", "cross-attention", "positions", "norm", "normalization", "activation"]
)
def test_every_name_of_the_catalogue_is_tried(table: str) -> None:
    model = resolved({"preset": "tiny"})
    tried = {value for variant in EVERY for value in variant.settings.values()} | set(model.model_dump().values())
    assert set(catalog.TABLES[table]) <= tried


def known(variant: Variant) -> bool:
    """Whether the catalogue has all that a variant names; those for parts to come are left out by their sentence."""
    named = {"architecture": "architecture", "activation": "activation", "normalization": "normalization"}
    return all(variant.settings[name] in catalog.TABLES[named[name]] for name in variant.settings.keys() & named)


@pytest.mark.parametrize("variant", [v for v in EVERY if known(v)], ids=lambda v: v.folder)
def test_each_is_built_at_the_size_of_the_first(variant: Variant) -> None:
    assert obstacle({"preset": "tiny", **variant.settings}, PIECES) is None
    size, target = (
        parameters(resolved({"preset": "tiny", **sized(each, "tiny", PIECES)}), PIECES)
        for each in (variant, EVERY[0])
    )
    assert abs(size - target) < 0.05 * target


def test_fair_settings_belong_to_parts_of_the_catalogue() -> None:
    assert all(reason for _, reason in FAIR.values())
    assert {name for settings, _ in FAIR.values() for name in settings} <= set(resolved({}).model_dump())
