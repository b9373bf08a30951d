"""`mtcli info`: what a run or checkpoint is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from mtcli.cli.facts import lines


def info(
    model: Annotated[Path, typer.Argument(help="a run, or one checkpoint directory")],
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Show what a model is: languages, size by part, training, and its scores."""
    facts = facts_of(model)
    if as_json:
        print(json.dumps(facts, ensure_ascii=False, indent=1))
        return
    for line in lines(readable(facts)):
        print(line)


def facts_of(path: Path) -> dict[str, Any]:
    """Everything worth knowing about a model, in plain values."""
    import torch

    from mtcli.checkpoint.restore import restore

    restored = restore(path, torch.device("cpu"))
    recipe, scores = restored.recipe, restored.scores
    parts = {name: count(module) for name, module in restored.model.named_children()}
    figures = {
        name: f"{entry['value']:.2f}  {entry['signature']}" for name, entry in scores.get("scores", {}).items()
    }
    return {
        "checkpoint": str(restored.path),
        "step": restored.step,
        "languages": f"{recipe.data.source_lang} -> {recipe.data.target_lang}",
        "preset": recipe.preset,
        "vocabulary": f"{restored.tokenizer.source_size:,} source, {restored.tokenizer.target_size:,} target pieces"
        + (", one vocabulary" if restored.tokenizer.joint else ""),
        "parameters": count(restored.model),
        "parameters by part (tied ones count in each)": parts,
        "model": {name: str(value) for name, value in recipe.model.model_dump().items()},
        "validation loss": scores.get("loss", "not validated at this step"),
        "validation scores": figures,
    }


def readable(facts: dict[str, Any]) -> dict[str, Any]:
    """The facts with figures no longer than people read them."""
    return {name: f"{value:.3f}" if isinstance(value, float) else value for name, value in facts.items()}


def count(module: Any) -> int:
    """Parameters, each once."""
    return sum(parameter.numel() for parameter in module.parameters())
