"""What did validation say along a run?

    python benchmarks/curve.py RUN --name multi30k-small [--title "Multi30k en-de"] [--note "..."] [--results DIR]

Reads the run's log.jsonl, and writes its validations as a Markdown table.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import measure
from measure import Report

Events = list[dict[str, Any]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--name", required=True, help="of the result's file")
    parser.add_argument("--title", help="[default: the name]")
    parser.add_argument("--note", action="append", default=[], help="a sentence below the table; repeatable")
    parser.add_argument("--results", type=Path, help="where to write [default: benchmarks/results]")
    args = parser.parse_args()
    lines = (args.run / "log.jsonl").read_text(encoding="utf-8").rstrip("\n").split("\n")
    rows = curve([json.loads(line) for line in lines])
    path = Report(
        name=args.name,
        title=args.title or args.name,
        command=measure.command_line({"RUN": args.run}),
        rows=rows,
        notes=[*args.note, *recipe(args.run)],
        versions=measure.versions("torch", "sentencepiece", "sacrebleu"),
        raw=rows,
    ).write(args.results)
    print(path.read_text(encoding="utf-8"))


def curve(events: Events) -> list[dict[str, Any]]:
    """One row for each validation; a run that went back to a checkpoint counts as it went on from there."""
    rows: dict[int, dict[str, Any]] = {}
    standing: dict[str, Any] = {}
    for event in events:
        if event["event"] == "steps":
            standing = event
            continue
        step = event["step"]
        rows = {earlier: row for earlier, row in rows.items() if earlier < step}
        rows[step] = {
            "step": step,
            "epoch": standing.get("epoch", ""),
            "minutes": f"{standing['seconds'] / 60:.1f}" if standing else "",
            "training loss": decimals(standing.get("loss"), 3),
            "validation loss": decimals(event["loss"], 3),
            **{name: decimals(score["value"], 2) for name, score in event["scores"].items()},
            "tokens/s": f"{standing['tokens_per_second']:,.0f}" if standing else "",
        }
    return list(rows.values())


def decimals(value: float | None, digits: int) -> str:
    """A figure; empty if there is none, as after a division by zero."""
    return "" if value is None else f"{value:.{digits}f}"


def recipe(run: Path) -> list[str]:
    """What was trained, in one sentence; folders stay out of it."""
    from mtcli.recipe import load

    settings = load(run / "recipe.toml")
    model, training = settings.model, settings.training
    corpora = ", ".join("/".join(Path(name).parts[-2:]) for name in settings.data.train)
    return [
        f"trained on {corpora} ({settings.data.source_lang} to {settings.data.target_lang}): preset "
        f"{settings.preset}, model_dim {model.model_dim}, {model.encoder_layers}+{model.decoder_layers} layers, "
        f"feed-forward {model.feed_forward_dim} ({model.activation}), {model.heads} heads, "
        f"positions {model.positions}, dropout {model.dropout}, "
        f"{settings.tokenizer.vocab_size:,} pieces; {training.max_tokens:,} tokens in a batch, "
        f"{training.precision}, {training.optimizer}, {training.schedule}, learning rate {training.lr:g}, "
        f"seed {training.seed}",
        "minutes are the training clock's, validations and saves included; losses are nats per target token, the "
        "training loss with label smoothing; BLEU and chrF on raw text by sacreBLEU, decoded "
        f"{training.validation_decoding}",
    ]


if __name__ == "__main__":
    main()
