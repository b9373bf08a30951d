"""`mtcli bench translate`: how fast a model translates on this machine."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mtcli.cli import facts
from mtcli.cli.flags import with_settings
from mtcli.cli.measured import circumstances, in_megabytes, in_percent, number, spread
from mtcli.cli.model import MACHINE, EnsembleOption, Loaded, ModelsOption, PrecisionOption, WorkersOption, load
from mtcli.errors import DataError, UsageError

if TYPE_CHECKING:
    from mtcli.decoding.translator import Translator


@with_settings("decoding", extra=MACHINE)
def translate(
    model: ModelsOption,
    file: Annotated[Path, typer.Argument(help="sentences of the kind that will be translated, one per line")],
    typed: dict[str, Any],
    greedy: Annotated[bool, typer.Option("--greedy", help="short for --decoding greedy")] = False,
    ensemble: EnsembleOption = None,
    precision: PrecisionOption = "fp32",
    workers: WorkersOption = 0,
    repeats: Annotated[int, typer.Option(min=1, help="times to translate the file, after a warm-up")] = 5,
    latency_lines: Annotated[int, typer.Option(min=0, help="lines to translate one by one as well; 0: none")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON, with all raw figures")] = False,
) -> None:
    """Measure how fast a model translates here: throughput, latency, memory, share of the best possible speed.

    Target tokens are those of the best translations, EOS counted. The share is that of the arithmetic which the
    model needs for them, times the beam, in what large matrix products of the same precision reach on as many
    threads, workers or GPUs. It is approximate: not all hypotheses of a beam are as long as the best.
    """
    if greedy and typed.setdefault("decoding", "greedy") != "greedy":
        raise UsageError(f"--greedy and --decoding {typed['decoding']} contradict each other")
    lines = sentences(file)
    found = measured(load(model, typed, ensemble, precision, workers), lines, repeats, latency_lines)
    if as_json:
        print(json.dumps(found, ensure_ascii=False, allow_nan=False, indent=1))
        return
    for line in facts.lines(readable(found)):
        print(line)


def sentences(file: Path) -> list[str]:
    """The lines of a file in which there is something to translate; `DataError` if there is none."""
    from mtcli.cli.text import lines_of
    from mtcli.data.normalize import normalize

    lines = [line for line in lines_of(file) if normalize(line)]
    if not lines:
        name = "stdin" if str(file) == "-" else file
        raise DataError(f"{name} has no line to translate", "give it sentences, one per line; a hundred tell much")
    return lines


def measured(loaded: Loaded, lines: Sequence[str], repeats: int, latency_lines: int) -> dict[str, Any]:
    """Every figure, as it was measured."""
    from mtcli.decoding.figures import latency, lengths, model_flops, share, throughput
    from mtcli.decoding.pace import Pace, TimedTokenizer, evenly
    from mtcli.decoding.searcher import width
    from mtcli.decoding.translator import Translator
    from mtcli.machine import matmul_rate, now, peak_memory

    restored, clock = loaded.restored, partial(now, loaded.device)
    parts = restored.model, TimedTokenizer(restored.tokenizer, clock), loaded.decoding, loaded.device
    language = restored.recipe.data.target_lang
    with Translator(*parts, target_lang=language, workers=loaded.workers) as translator:
        pace = Pace(translator)
        warm_up, translations = pace.lap(lines)
        print(f"warm-up: {warm_up.text:.1f} s, and {repeats} times about that is to come", file=sys.stderr)
        laps = [pace.lap(lines)[0] for _ in range(repeats)]
        alone = pace.latencies(evenly(lines, latency_lines)) if latency_lines else []
        # While the workers live, and before the products that the speed is compared with take memory.
        memory, processors = peak_memory(loaded.device), in_use(translator, loaded)
    wide, vocabulary = width(loaded.decoding), restored.tokenizer.target_size
    flops = model_flops(loaded.members, vocabulary, translations, wide)
    best = matmul_rate(loaded.precision, loaded.device, clock) if flops else 0.0
    tokens = sum(lengths(translations)[1])
    return {
        **circumstances_of(loaded),
        "width": wide,
        "repeats": repeats,
        "sentences": len(lines),
        "target_tokens": tokens,
        **throughput(laps, len(lines), tokens),
        "latency": latency(alone),
        "peak_memory_bytes": memory,
        "arithmetic": share(flops, laps, best, processors) if flops else None,
    }


def in_use(translator: Translator, loaded: Loaded) -> int:
    """How many workers were at work or, without workers, threads; a GPU is one."""
    import torch

    if loaded.device.type != "cpu":
        return 1
    shared = translator.searcher.workers
    return loaded.workers if shared and shared.pool else torch.get_num_threads()


def circumstances_of(loaded: Loaded) -> dict[str, Any]:
    """What was measured, and on what."""
    return {
        "model": str(loaded.restored.path),
        "models": len(loaded.members),
        "decoding": loaded.decoding.model_dump(mode="json"),
        "precision": loaded.precision,
        "workers": loaded.workers,
        **circumstances(loaded.device),
    }


def readable(found: Mapping[str, Any]) -> dict[str, Any]:
    """What people look for, with figures no longer than they read them."""
    late, memory, work = found["latency"], found["peak_memory_bytes"], found["arithmetic"]
    others = f", with {found['models'] - 1} more" if found["models"] > 1 else ""
    return {
        "model": f"{found['model']}{others}",
        "processor": found["processor"],
        "threads": found["threads"],
        "workers": found["workers"],
        "decoding": f"{found['decoding']['decoding']}, {found['width']} wide, {found['precision']}",
        "sentences": found["sentences"],
        "target tokens": found["target_tokens"],
        "repeats": found["repeats"],
        **{way.replace("_", " "): rates(found[way]) for way in ("text_to_text", "tokens_to_tokens")},
        "one line alone": in_milliseconds(late) if late else "-",
        "peak memory": in_megabytes(memory) if memory else "-",
        "share of the matmul peak": in_percent(work) if work else "-",
    }


def rates(found: Mapping[str, Any]) -> dict[str, str]:
    """Medians, the lowest and the highest."""
    return {
        "sentences/s": spread(found["sentences_per_second"]),
        "target tokens/s": spread(found["target_tokens_per_second"]),
    }


def in_milliseconds(late: Mapping[str, Any]) -> str:
    """Percentiles, and of how many lines."""
    percentiles = [f"{name[:-3]} {number(value)} ms" for name, value in late.items() if name.endswith("_ms")]
    return f"{', '.join(percentiles)} ({late['lines']:,} lines)"
