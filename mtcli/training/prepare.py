"""From settings and a directory to a trained model: read, tokenise, encode, build or resume, and fit."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mtcli import catalog
from mtcli import recipe as recipes
from mtcli.checkpoint import durable, lock, store
from mtcli.checkpoint.store import Checkpoint
from mtcli.data import tokenizer as tokenizers
from mtcli.data.batches import Batches
from mtcli.data.corpus import Account, Corpus, SentencePair, open_corpora
from mtcli.data.encoded import Encoded, encode
from mtcli.data.tokenizer import Tokenizer
from mtcli.device import choose_device, choose_precision, use_threads
from mtcli.errors import InterruptedRun, ModelError, ResourceError, UsageError
from mtcli.model.build import build, refuse_impossible
from mtcli.settings import Recipe
from mtcli.training.loop import fit
from mtcli.training.precision import Precision
from mtcli.training.report import Observer
from mtcli.training.run import Run, TrainingCorpus, Watch
from mtcli.training.state import Progress, TrainState
from mtcli.training.validate import Validation, Validator

RESOLVED_AT_START: dict[str, Any] = {"preset": "auto", "precision": "auto", "decay_steps": 0}
"""Values that ask the first start to choose; on resume they mean what was chosen then."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended: why, where its best checkpoint is, and the last validation if one was made."""

    reason: str
    best: Path
    validation: Validation | None


def train(file: Mapping[str, Any], typed: Mapping[str, Any], directory: Path, watch: Watch) -> Outcome:
    """Train into `directory`, or go on where a run in it stopped; see `recipe.resolve` for `file` and `typed`.

    Raises `UserError`s: `InterruptedRun` after saving when a signal asked to stop.
    """
    make_writable(directory)
    with lock.hold(directory):
        stored, passed_over = resumable(directory)
        for sentence in passed_over:
            watch.observer.warn(sentence)
        plan = planned(file, typed, directory, watch.observer)
        refuse_incomplete(plan)
        run, batches = prepared(plan, file, typed, directory, stored, watch)
        return finish(run, batches)


def finish(run: Run, batches: Batches) -> Outcome:
    """Run to the end, or to the wish to stop."""
    if reason := run.finished():
        run.observer.say(f"this run is finished: {reason}")
        return Outcome(reason, store.find(run.directory), None)
    fit(run.state, batches, run.recipe.training, run)
    if run.interrupted and not run.finished():
        raise InterruptedRun(
            run.interrupted.exit_code,
            f"stopped at step {run.state.progress.step:,}, everything is saved",
            "the same command goes on from here",
        )
    run.close()
    assert run.validation
    return Outcome(run.finished() or "", store.find(run.directory), run.validation[1])


def make_writable(directory: Path) -> None:
    """Create the run's directory, and find out now whether it can be written."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        probe = directory / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ResourceError(
            f"{directory} cannot be written: {error.strerror}", "choose another directory with -o"
        ) from error


def resumable(directory: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest sound checkpoint of a run, and what was passed over to find it."""
    path, passed_over = store.newest(directory)
    return (store.load(path, resume=True) if path else None), passed_over


def planned(file: Mapping[str, Any], typed: Mapping[str, Any], directory: Path, observer: Observer) -> Recipe:
    """The recipe as far as it is known before the corpora are read; checked against the one of a stopped run."""
    path = directory / "recipe.toml"
    if not path.exists():
        return recipes.resolve(file, typed)
    old = recipes.load(path)
    new = recipes.resolve(recipes.overlaid(old, file, RESOLVED_AT_START), without_questions(typed))
    found = recipes.changes(old, new)
    if found["refuse"]:
        raise UsageError(
            f"{directory} holds a run with other settings, which cannot change on the way",
            *(
                f"--{name.replace('_', '-')}: {before!r} there, {after!r} now"
                for name, before, after in found["refuse"]
            ),
            "give the same settings to go on, or another directory with -o to start anew",
        )
    for name, before, after in found["warn"]:
        observer.warn(f"--{name.replace('_', '-')} changes from {before!r} to {after!r}")
    return new


def without_questions(typed: Mapping[str, Any]) -> dict[str, Any]:
    """The flags that ask for something definite."""
    return {name: value for name, value in typed.items() if RESOLVED_AT_START.get(name, ...) != value}


def refuse_incomplete(plan: Recipe) -> None:
    """Raise `UsageError` for what is missing or impossible, before anything is read."""
    data = plan.data
    for flag, value in (
        ("--train", data.train),
        ("--valid", data.valid),
        ("--source-lang", data.source_lang),
        ("--target-lang", data.target_lang),
    ):
        if not value:
            raise UsageError(
                f"{flag} is missing",
                "for example: mtcli train --train data/train --valid data/valid -s en -t de -o runs/en-de",
            )
    refuse_impossible(plan.model, plan.tokenizer.joint)


def prepared(
    plan: Recipe,
    file: Mapping[str, Any],
    typed: Mapping[str, Any],
    directory: Path,
    stored: Checkpoint | None,
    watch: Watch,
) -> tuple[Run, Batches]:
    """Everything that `fit` needs."""
    observer = watch.observer
    training = opened(plan.data.train, plan)
    recipe = plan
    if not (directory / "recipe.toml").exists():
        recipe = settled(recipes.resolve(file, typed, count(training, observer)))
    use_threads(recipe.training.threads)
    device = choose_device(recipe.training.device)
    recipe = with_precision(recipe, device)
    tokenizer = chosen_tokenizer(recipe, training, directory, stored, observer)
    corpus, references, held_out = encoded_corpora(recipe, training, tokenizer, observer)
    batches = Batches(corpus, recipe.training.max_tokens, recipe.training.seed)
    durable.write_file(directory / "recipe.toml", recipes.dump(recipe).encode())
    state = built(recipe, tokenizer, device)
    fingerprint = digest([corpus.fingerprint() for corpus in training] + [tokenizer.digest])
    if stored:
        resume(state, stored, fingerprint, observer)
    refuse_full_disk(state, recipe, directory)
    validator = Validator(references, held_out, tokenizer, recipe)
    kept = TrainingCorpus(fingerprint, len(batches.epoch(0)), tokenizer.files(), validator)
    return Run(directory, recipe, state, kept, watch), batches


def opened(names: Sequence[str], recipe: Recipe) -> list[Corpus]:
    """The corpora of these names."""
    return open_corpora(names, recipe.data.source_lang, recipe.data.target_lang, recipe.data.strict)


def count(corpora: Sequence[Corpus], observer: Observer) -> int:
    """The number of usable pairs; `auto` chooses the model's size by it."""
    account = Account()
    return sum(1 for corpus in corpora for _ in corpus.pairs(account))


def settled(recipe: Recipe) -> Recipe:
    """The recipe with the end of its schedule fixed, so that a later --max-steps does not bend the past."""
    training = recipe.training
    if training.schedule not in catalog.PLANNED_SCHEDULES or training.decay_steps:
        return recipe
    if not training.max_steps:
        raise UsageError(
            f"--schedule {training.schedule} has to know when it ends", "give --max-steps or --decay-steps"
        )
    return replaced(recipe, "training", decay_steps=training.max_steps)


def with_precision(recipe: Recipe, device: torch.device) -> Recipe:
    """The recipe with the precision that this device computes in."""
    return replaced(recipe, "training", precision=choose_precision(recipe.training.precision, device))


def replaced(recipe: Recipe, section: str, **values: Any) -> Recipe:
    """The recipe with other values in one section."""
    return recipe.model_copy(update={section: getattr(recipe, section).model_copy(update=values)})


def chosen_tokenizer(
    recipe: Recipe, training: Sequence[Corpus], directory: Path, stored: Checkpoint | None, observer: Observer
) -> Tokenizer:
    """The tokenizer that the run already has, the one it was told to use, or one trained now."""
    if stored:
        return Tokenizer.from_bytes(stored.tokenizer)
    if recipe.tokenizer.tokenizer:
        return Tokenizer.load(Path(recipe.tokenizer.tokenizer))
    home = directory / "tokenizer"
    observer.say("training the tokenizer")
    account = Account()
    trained = tokenizers.train(pairs_of(training, account), recipe.tokenizer, home)
    for sentence in trained.notes():
        observer.warn(sentence)
    return Tokenizer.load(home)


def pairs_of(corpora: Sequence[Corpus], account: Account) -> Any:
    """All pairs of several corpora, one after the other."""
    return (pair for corpus in corpora for pair in corpus.pairs(account))


def encoded_corpora(
    recipe: Recipe, training: Sequence[Corpus], tokenizer: Tokenizer, observer: Observer
) -> tuple[Encoded, list[SentencePair], Encoded]:
    """Training corpus as tokens, validation corpus as text and as tokens."""
    cache, longest = cache_directory(), recipe.data.max_length
    account = Account()
    corpus = encode(training, tokenizer, longest, cache, account)
    observer.say(f"training corpus: {account}")
    valid = opened(recipe.data.valid, recipe)
    references = list(pairs_of(valid, Account()))
    account = Account()
    held_out = encode(valid, tokenizer, longest, cache, account)
    observer.say(f"validation corpus: {account}")
    return corpus, references, held_out


def cache_directory() -> Path:
    """Where encoded corpora are kept between runs: $MTCLI_CACHE, or mtcli in the user's cache folder."""
    if chosen := os.environ.get("MTCLI_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mtcli"


def built(recipe: Recipe, tokenizer: Tokenizer, device: torch.device) -> TrainState:
    """A fresh state; the seed decides every parameter."""
    torch.manual_seed(recipe.training.seed)
    model = build(recipe.model, tokenizer.source_size, tokenizer.target_size, tokenizer.joint).to(device)
    make: Callable[..., torch.optim.Optimizer] = catalog.load("optimizer", recipe.training.optimizer)
    precision = Precision(choose_precision(recipe.training.precision, device), device)
    return TrainState(model, make(model, recipe.training), precision, Progress())


def resume(state: TrainState, stored: Checkpoint, fingerprint: str, observer: Observer) -> None:
    """Continue from a checkpoint of this run; `ModelError` if it belongs to other data."""
    assert stored.resume
    if stored.resume.values["data"] != fingerprint:
        raise ModelError(
            "the corpora have changed since this run began",
            "restore them to go on, or choose another directory with -o to start anew",
        )
    state.restore(stored.weights, stored.resume)
    observer.say(f"going on from step {state.progress.step:,}")


def refuse_full_disk(state: TrainState, recipe: Recipe, directory: Path) -> None:
    """Raise `ResourceError` if the checkpoints that will be kept do not fit on the disk."""
    parameters = sum(parameter.numel() for parameter in state.model.parameters())
    one = 3 * 4 * parameters  # weights and Adam's two moments, in fp32
    needed, free = one * (recipe.training.keep + 2), shutil.disk_usage(directory).free
    if free < needed:
        raise ResourceError(
            f"{directory} has {free / 1e9:.1f} GB free, and this run may need {needed / 1e9:.1f} GB for checkpoints",
            "free some space, or keep fewer with --keep",
        )


def digest(parts: Sequence[str]) -> str:
    """One hash of several."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
