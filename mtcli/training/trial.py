"""A few seconds of training that are measured, and of which nothing is left: no run, no checkpoint, no cache."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from mtcli import recipe as recipes
from mtcli.data.account import Account
from mtcli.data.ahead import Ahead
from mtcli.data.batches import POOL, Batches
from mtcli.data.encoded import Encoded
from mtcli.data.generated import LENGTHS, MEAN, generate
from mtcli.data.resegmented import form_of
from mtcli.data.tokenizer import Tokenizer
from mtcli.machine import matmul_rate, now, peak_memory
from mtcli.settings import Recipe, TrainingSettings
from mtcli.training.engine import engine_of
from mtcli.training.figures import model_flops, share, stretches, throughput, times
from mtcli.training.fitting import fitted
from mtcli.training.guidance import batches_for
from mtcli.training.loop import fit
from mtcli.training.material import Vocabulary, chosen_tokenizer, learned_from, opened
from mtcli.training.memory import parts_of
from mtcli.training.meter import Meter
from mtcli.training.observer import Observer
from mtcli.training.pace import WINDOWS, Pace, RememberedBatches, Shape
from mtcli.training.phases import Phases, TimedBatches, TimedPrecision
from mtcli.training.plan import Request, begun, descended
from mtcli.training.ranks import Ranks
from mtcli.training.state import TrainState
from mtcli.training.train import built

WITHOUT_CORPUS = "small"
"""The preset that `auto` stands for where no corpus says how large a model should be."""


@dataclass(frozen=True)
class Sizes:
    """The vocabularies that a tokenizer would have if it were trained."""

    source_size: int
    target_size: int
    joint: bool


@dataclass(frozen=True)
class Subject:
    """What is trained, on what."""

    recipe: Recipe
    vocabulary: Vocabulary
    corpus: Encoded
    about: str


@contextmanager
def subject(request: Request, observer: Observer) -> Iterator[Subject]:
    """The corpus that is asked for, or generated sentences; files are needed inside only, and are gone after it."""
    request = descended(request)
    plan = recipes.resolve(request.file, request.typed)
    if not plan.data.train:
        yield divided(generated(request, plan, observer), observer)
        return
    recipe = begun(request, observer)
    with TemporaryDirectory(prefix="mtcli-") as scratch:
        place, account = Path(scratch), Account()
        corpora = opened(recipe.data.train, recipe)
        tokenizer = chosen_tokenizer(recipe, corpora, place, None, observer)
        corpus = learned_from(recipe, corpora, tokenizer, place / "cache", account)
        about = f"{', '.join(recipe.data.train)}: {account}"
        yield divided(Subject(recipe, tokenizer, corpus, about), observer)


def generated(request: Request, plan: Recipe, observer: Observer) -> Subject:
    """Generated sentences, as many as batches are made of together."""
    typed = {**request.typed, "preset": WITHOUT_CORPUS} if plan.preset == "auto" else request.typed
    recipe = begun(replace(request, typed=typed), observer)
    settings, pieces = recipe.training, recipe.tokenizer
    vocabulary: Vocabulary = Sizes(pieces.vocab_size, pieces.vocab_size, pieces.joint)
    if pieces.tokenizer:
        vocabulary = Tokenizer.load(Path(pieces.tokenizer))
    sizes = vocabulary.source_size, vocabulary.target_size
    pairs = POOL * max(1, settings.max_tokens // MEAN)
    corpus = generate(pairs, *sizes, recipe.data.max_length, settings.seed)
    return Subject(recipe, vocabulary, corpus, f"{pairs:,} generated pairs: {LENGTHS}")


def divided(chosen: Subject, observer: Observer) -> Subject:
    """The same with its batches in as many parts as a run would have them in."""
    if chosen.recipe.training.split:
        return chosen
    fresh = partial(built, vocabulary=chosen.vocabulary, data="", ranks=Ranks())
    recipe = fitted(chosen.recipe, fresh, chosen.corpus, observer)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()  # a trial takes what there is
    return replace(chosen, recipe=recipe)


def measure(subject: Subject, seconds: float, started: float, observer: Observer) -> dict[str, Any]:
    """Every figure of about so many seconds after a warm-up; `started` is the beginning by `time.perf_counter`."""
    recipe, vocabulary = subject.recipe, subject.vocabulary
    state = built(recipe, vocabulary, "", Ranks())
    clock = partial(now, state.device)
    pace, shapes = paced(state, subject, Phases(clock), seconds, observer)
    memory = peak_memory(state.device)  # before the products that the speed is compared with take some
    windows, look = stretches(pace.marks, shapes)
    flops = model_flops(windows, recipe, vocabulary.target_size)
    best = matmul_rate(state.precision.name, state.device, clock) if flops else 0.0
    processors = torch.get_num_threads() if state.device.type == "cpu" else 1
    begin, first = pace.marks[:2]
    return {
        "corpus": subject.about,
        "source_pieces": vocabulary.source_size,
        "target_pieces": vocabulary.target_size,
        "parameters": sum(parameter.numel() for parameter in state.model.parameters()),
        "first_step_seconds": first.seconds - begin.seconds,
        "seconds_to_first_step": first.seconds - started,
        **throughput(windows),
        "parts": parts_of(state, recipe.training.split),
        "share_of_time": times(look, pace.phases),
        "tokens_per_second_while_looking": look.tokens / look.seconds,
        "peak_memory_bytes": memory,
        "arithmetic": share(flops, windows, best, processors) if flops else None,
    }


def paced(
    state: TrainState, subject: Subject, phases: Phases, seconds: float, observer: Observer
) -> tuple[Pace, list[Shape]]:
    """Train, with an eye on the clock; the marks that were set, and the shapes of all batches."""
    settings = endless(subject.recipe.training)
    state.precision = TimedPrecision(state.precision, phases)
    batches = (
        batches_for(subject.corpus, subject.vocabulary, subject.recipe)
        if isinstance(subject.vocabulary, Tokenizer)
        else Batches(subject.corpus, settings.max_tokens, settings.seed, form_of(subject.corpus, subject.recipe))
    )
    stream = batches if state.device.type == "cpu" else Ahead(batches)
    remembered = RememberedBatches(TimedBatches(stream, phases))
    meter = Meter(state.progress, settings, batches.steps_per_epoch(), settings.accumulate)
    pace = Pace(meter, phases, seconds / WINDOWS, observer)
    fit(state, remembered, settings, pace, engine_of(state, settings.engine))
    return pace, remembered.shapes


def endless(settings: TrainingSettings) -> TrainingSettings:
    """The settings without a planned end, so that none is foretold."""
    return settings.model_copy(update={"max_steps": 0, "max_epochs": 0, "max_minutes": 0.0})
