"""BLEU, chrF and TER through sacreBLEU: the figures of its command line, always with their signature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from mtcli.catalog import load
from mtcli.errors import DataError, UsageError
from mtcli.language import bleu_metric, without_region
from mtcli.protocol import Protocol

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric

Lines = Sequence[str]


@dataclass(frozen=True)
class Score:
    """A figure with the signature that reproduces it.

    `name` is sacreBLEU's (`BLEU`, `chrF2`, `TER`), `value` in percent, `interval` the 95 % confidence interval of a
    bootstrap (its centre and half-width are sacreBLEU's mean and ±), `detail` sacreBLEU's remark or empty.
    """

    name: str
    value: float
    signature: str
    interval: tuple[float, float] | None
    detail: str

    def as_json(self) -> dict[str, Any]:
        """The fields by name, ready for `json.dumps`; the interval as a list."""
        return asdict(self) | {"interval": self.interval and list(self.interval)}


def evaluate(
    hypotheses: Lines,
    references: Sequence[Lines],
    metrics: Sequence[str],
    target_lang: str,
    protocol: str = "raw",
    bootstrap: int = 0,
) -> list[Score]:
    """Score raw text by each of `metrics`, in their order, under a protocol of the catalogue.

    `references` holds one or several streams of as many lines as `hypotheses`. `bootstrap` is the number of
    resamples for confidence intervals; 0: none. `DataError` if the counts differ or are 0, `UsageError` if a name is
    unknown or a package is missing.
    """
    measures = [load("metric", name) for name in metrics]
    form: Protocol = load("protocol", protocol)
    check_counts(hypotheses, references)
    language = without_region(target_lang)
    scored = form.prepare(hypotheses, language)
    streams = [form.prepare(stream, language) for stream in references]
    scores = [
        measure(scored, streams, target_lang, tokenize=form.tokenize, bootstrap=bootstrap) for measure in measures
    ]
    return [replace(score, signature=form.sign(score.signature)) for score in scores]


raw = Protocol(rewriter=lambda language: lambda line: line)


def bleu(
    hypotheses: Lines,
    references: Sequence[Lines],
    target_lang: str,
    lowercase: bool = False,
    tokenize: str | None = None,
    bootstrap: int = 0,
) -> Score:
    """BLEU (Papineni et al. 2002) of a corpus; `tokenize` overrides the tokenizer of the target language.

    `UsageError` if there is no such tokenizer or its package is not installed.
    """
    return measured(bleu_metric(target_lang, tokenize, lowercase), hypotheses, references, bootstrap)


def chrf(
    hypotheses: Lines,
    references: Sequence[Lines],
    target_lang: str,
    lowercase: bool = False,
    tokenize: str | None = None,
    bootstrap: int = 0,
) -> Score:
    """The F2 score of character n-grams up to 6 (chrF2, Popović 2015) of a corpus, the same for every language."""
    from sacrebleu.metrics.chrf import CHRF

    refuse_tokenizer("chrf", tokenize)
    return measured(CHRF(lowercase=lowercase), hypotheses, references, bootstrap)


def ter(
    hypotheses: Lines,
    references: Sequence[Lines],
    target_lang: str,
    lowercase: bool = False,
    tokenize: str | None = None,
    bootstrap: int = 0,
) -> Score:
    """Translation edit rate (Snover et al. 2006) of a corpus: lower is better; it always ignores case, as Tercom."""
    from sacrebleu.metrics.ter import TER

    refuse_tokenizer("ter", tokenize)
    return measured(TER(), hypotheses, references, bootstrap)


def refuse_tokenizer(metric: str, tokenize: str | None) -> None:
    """Raise `UsageError` for a tokenizer that `metric`, which splits at spaces or not at all, would ignore."""
    if tokenize not in (None, "none"):
        raise UsageError(f"metric {metric!r} has no choice of tokenizer", f"leave out {tokenize!r}")


def measured(metric: Metric, hypotheses: Lines, references: Sequence[Lines], bootstrap: int) -> Score:
    """Score the lines by a metric of sacreBLEU; `DataError` if their counts differ or are 0."""
    check_counts(hypotheses, references)
    if bootstrap < 0 or bootstrap == 1:
        raise UsageError(f"a bootstrap of {bootstrap} resamples gives no interval", "take 1000, or 0 for none")
    result = metric.corpus_score(hypotheses, references, n_bootstrap=bootstrap)
    # sacreBLEU shows mean, half-width and remark only inside formatted text; hence the private names. Those of chrF
    # are numpy's float32, which would round the sum.
    mean, half = float(result._mean), float(result._ci)
    interval = (mean - half, mean + half) if bootstrap else None
    return Score(result.name, float(result.score), str(metric.get_signature()), interval, result._verbose)


def check_counts(hypotheses: Lines, references: Sequence[Lines]) -> None:
    """Raise `DataError` unless there are hypotheses, and as many references in every stream."""
    if not references:
        raise DataError("there is no reference to score against")
    for number, stream in enumerate(references, 1):
        if len(stream) != len(hypotheses):
            which = "" if len(references) == 1 else f" in reference {number}"
            message = f"there are {len(hypotheses):,} hypotheses but {len(stream):,} references{which}"
            raise DataError(
                message, "line n of the hypotheses must translate what line n of the references translates"
            )
    if not hypotheses:
        raise DataError("there are no hypotheses and no references to score", "the files are empty")
