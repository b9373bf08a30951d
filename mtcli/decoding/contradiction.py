"""Decoding settings that contradict each other: what a strategy cannot do, and what it would not look at."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from mtcli.errors import UsageError
from mtcli.settings import DecodingSettings, strategies_of


def refuse_impossible(strategy: str, settings: DecodingSettings, attention: bool = True) -> None:
    """Raise one `UsageError` with every reason why a strategy cannot do what the settings ask.

    `attention` says whether the model knows at which source tokens it looks.
    """
    refuse([*impossible(strategy, settings, attention)])


def refuse_contradictions(settings: DecodingSettings, typed: Collection[str], attention: bool = True) -> None:
    """Raise one `UsageError` with these reasons, and with those why a typed setting would change no translation."""
    refuse([*ignored(settings, typed), *impossible(settings.decoding, settings, attention)])


def refuse_required_words(settings: DecodingSettings) -> None:
    """Raise `UsageError` if the strategy has no way to put given words into translations."""
    if settings.decoding != "beam" or settings.diversity_groups > 1:
        instead = "diverse groups" if settings.decoding == "beam" else f"{settings.decoding} decoding"
        raise UsageError(
            f"words that a translation must contain need beam search, not {instead}",
            "choose --decoding beam with one group, or leave out --require and --terms",
        )


def refuse(reasons: Sequence[str]) -> None:
    """Raise `UsageError` if there are reasons."""
    if reasons:
        raise UsageError("these decoding settings contradict each other", *(f"- {reason}" for reason in reasons))


def impossible(strategy: str, settings: DecodingSettings, attention: bool) -> Iterator[str]:
    """A sentence for each thing that is asked of a strategy and that it cannot do."""
    n_best, width = settings.n_best, settings.beam_size
    shortest, longest = settings.min_output_ratio, settings.max_output_ratio
    if shortest > longest:
        yield f"--min-output-ratio {shortest:g} is more than --max-output-ratio {longest:g}"
    if strategy == "greedy" and n_best > 1:
        yield f"greedy decoding finds one translation per sentence, not --n-best {n_best}; use beam or sample"
    if strategy == "mbr" and n_best > settings.mbr_samples:
        yield f"--n-best {n_best} needs --mbr-samples of at least {n_best}: translations are chosen among these"
    if strategy != "beam":
        return
    if n_best > width:
        yield f"a beam of {width} cannot find {n_best} translations; take a --beam-size of at least {n_best}"
    elif 0 < round(settings.beam_patience * width, 6) < n_best:
        yield f"--beam-patience {settings.beam_patience:g} ends the search before there are {n_best} translations"
    if width % settings.diversity_groups:
        yield f"a beam of {width} cannot be divided into {settings.diversity_groups} groups; change --beam-size"
    if settings.coverage_penalty and not attention:
        yield "--coverage-penalty needs weights of source tokens, which this model does not have; give 0"


def ignored(settings: DecodingSettings, typed: Collection[str]) -> Iterator[str]:
    """A sentence for each typed setting that changes no translation, given all the others."""
    strategy = settings.decoding
    for name, field in DecodingSettings.model_fields.items():
        strategies = strategies_of(field)
        if name in typed and strategies and strategy not in strategies:
            flag, others = f"--{name.replace('_', '-')}", " or ".join(strategies)
            yield f"{flag} means nothing in {strategy} decoding; leave it out, or choose --decoding {others}"
    if strategy != "beam":
        return
    if "length_penalty" in typed and settings.length_normalization == "none":
        yield "--length-penalty means nothing with --length-normalization none"
    if "diversity_strength" in typed and settings.diversity_groups == 1:
        yield "--diversity-strength means nothing in a single group; give --diversity-groups too"
