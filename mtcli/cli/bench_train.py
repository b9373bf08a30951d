"""`mtcli bench train`: how fast a model would be trained on this machine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mtcli.cli import facts
from mtcli.cli.flags import with_settings
from mtcli.cli.measured import circumstances, in_megabytes, in_percent, number, spread

if TYPE_CHECKING:
    from mtcli.settings import Recipe


@with_settings("", "data", "tokenizer", "model", "training", "decoding")
def train(
    typed: dict[str, Any],
    recipe: Annotated[Path | None, typer.Argument(help="a recipe (TOML), such as the recipe.toml of a run")] = None,
    seconds: Annotated[float, typer.Option(min=0, help="how long to measure, after a warm-up; a step at least")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON, with all raw figures")] = False,
) -> None:
    """Measure how fast training is here: tokens/s, memory, where the time goes, share of the best possible speed.

    Takes the settings of `mtcli train`, those of validations, saves and the end of training without effect, and
    writes nothing. Without --train, sentences are generated, as many tokens long as real ones.

    Tokens are source and target tokens without padding, EOS counted, over the whole loop: the median of five windows.
    The time of data, forward pass, backward pass and optimizer is taken in a look of its own after these: on a GPU it
    has to be waited for after each of them, which holds it up. A batch is copied to the device in the forward pass.
    Peak memory is that of the process, with a tokenizer if it had to train one, or what PyTorch takes on a GPU.
    The share of the peak is that of the arithmetic which the model needs, without padding, in what large matrix
    products of the same precision reach on as many threads, or on the GPU.
    """
    import time

    started = time.perf_counter()
    from mtcli import recipe as recipes
    from mtcli.cli.show import watching
    from mtcli.training.plan import Request
    from mtcli.training.trial import measure, subject

    file = recipes.read(recipe) if recipe else {}
    with watching() as show, subject(Request(file, typed), show) as chosen:
        found = {**circumstances_of(chosen.recipe), **measure(chosen, seconds, started, show)}
    if as_json:
        print(json.dumps(found, ensure_ascii=False, allow_nan=False, indent=1))
        return
    for line in facts.lines(readable(found)):
        print(line)


def circumstances_of(recipe: Recipe) -> dict[str, Any]:
    """What was measured, and on what."""
    from mtcli.device import choose_device

    return {
        "preset": recipe.preset,
        "model": recipe.model.model_dump(mode="json"),
        "training": recipe.training.model_dump(mode="json"),
        **circumstances(choose_device(recipe.training.device)),
    }


def readable(found: Mapping[str, Any]) -> dict[str, Any]:
    """What people look for, with figures no longer than they read them."""
    model, training, memory, work = (found[name] for name in ("model", "training", "peak_memory_bytes", "arithmetic"))
    layers = f"{model['encoder_layers']}+{model['decoder_layers']} layers, {model['model_dim']} wide"
    first = f"{found['seconds_to_first_step']:.1f} s ({found['first_step_seconds']:.1f} s of it the step)"
    windows = [window["seconds"] for window in found["windows"]]
    parts = f" in {found['parts']} parts" if found["parts"] > 1 else ""
    return {
        "model": f"{model['architecture']}, {layers}, preset {found['preset']}",
        "parameters": found["parameters"],
        "corpus": found["corpus"],
        "processor": found["processor"],
        "threads": found["threads"],
        "precision": training["precision"],
        "batch": f"{training['max_tokens']:,} tokens of the longer side{parts}, {training['accumulate']:,} in a step",
        "from the start to the end of the first step": first,
        "windows": f"{len(windows)} of {min(windows):.1f}-{max(windows):.1f} s, after a warm-up",
        "tokens/s": spread(found["tokens_per_second"]),
        "steps/s": spread(found["steps_per_second"]),
        "target tokens in a step": f"{found['target_tokens_per_step']:,.0f}",
        "padding": percent(found["padding"]),
        "time": ", ".join(f"{name} {percent(share)}" for name, share in found["share_of_time"].items()),
        "tokens/s while that was looked at": number(found["tokens_per_second_while_looking"]),
        "peak memory": in_megabytes(memory) if memory else "-",
        "share of the matmul peak": in_percent(work) if work else "-",
    }


def percent(share: float) -> str:
    """A share, as people read it."""
    return f"{100 * share:.1f} %"
