"""What the tag of a language means for scoring text in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mtcli.catalog import unknown
from mtcli.errors import UsageError

if TYPE_CHECKING:
    from sacrebleu.metrics.bleu import BLEU

BLEU_TOKENIZERS = {
    "zh": "zh",
    "zho": "zh",
    "cmn": "zh",
    "ja": "ja-mecab",
    "jpn": "ja-mecab",
    "ko": "ko-mecab",
    "kor": "ko-mecab",
}
"""By target language; every other language is tokenised as WMT does, by `13a`."""

EXTRA_OF_TOKENIZER = {"ja-mecab": "ja", "ko-mecab": "ko"}


def bleu_metric(target_lang: str, tokenize: str | None = None, lowercase: bool = False) -> BLEU:
    """sacreBLEU's BLEU with the tokenizer of the target language, or with the one that `tokenize` names.

    `UsageError` if there is no such tokenizer or its package is not installed.
    """
    from sacrebleu.metrics.bleu import BLEU

    tokenizer = tokenize or BLEU_TOKENIZERS.get(without_region(target_lang), "13a")
    if tokenizer not in BLEU.TOKENIZERS:
        raise unknown("tokenizer of BLEU", tokenizer, BLEU.TOKENIZERS)
    try:
        # force: text that a protocol has tokenised needs no warning that it looks tokenised
        return BLEU(lowercase=lowercase, tokenize=tokenizer, force=tokenizer == "none")
    except RuntimeError as error:
        if tokenizer not in EXTRA_OF_TOKENIZER:
            raise
        hint = f"pip install 'sacrebleu[{EXTRA_OF_TOKENIZER[tokenizer]}]'"
        raise UsageError(f"BLEU for language {target_lang!r} needs the tokenizer {tokenizer!r}", hint) from error


def without_region(language: str) -> str:
    """The language of a tag such as `zh-TW`, `pt_BR` or `zho_Hans`, in lower case."""
    return language.replace("_", "-").partition("-")[0].lower()
