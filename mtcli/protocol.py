"""Protocols: the form in which text is scored. `multi30k-lc` is the one of the papers on Multi30k."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mtcli.errors import UsageError

Rewrite = Callable[[str], str]
"""One line of text in, the same line in the form that is scored out."""


@dataclass(frozen=True)
class Protocol:
    """How raw lines are rewritten before they are scored, and how BLEU is computed on the result.

    `rewriter` makes the `Rewrite` of a language (its code without region, as in `de`). `tokenize` is the sacreBLEU
    tokenizer that suits the rewritten text; None: the one of the target language. `mark` is appended to signatures,
    because sacreBLEU alone cannot reproduce the score without it; empty: nothing is rewritten.
    """

    rewriter: Callable[[str], Rewrite]
    tokenize: str | None = None
    mark: str = ""

    def prepare(self, lines: Sequence[str], language: str) -> list[str]:
        """Rewrite every line; as many lines come out as went in."""
        rewrite = self.rewriter(language)
        return [rewrite(line) for line in lines]

    def sign(self, signature: str) -> str:
        """The signature of a score computed under this protocol."""
        return f"{signature}|{self.mark}" if self.mark else signature


MULTI30K_LANGUAGES = ("en", "de", "fr", "cs")


def moses_lowercased(language: str) -> Rewrite:
    """Lower-case, normalise punctuation and tokenise as the `lc.norm.tok` files of Multi30k, in this order.

    Source: the Moses scripts lowercase, normalize-punctuation and tokenizer of 2017, as the data set of Elliott et
    al. 2016 applied them: no splitting of hyphens, XML escapes such as `&quot;`. `UsageError` if the language is not
    one of the data set or sacremoses is missing.
    """
    if language not in MULTI30K_LANGUAGES:
        known = ", ".join(MULTI30K_LANGUAGES)
        raise UsageError(f"protocol 'multi30k-lc' has no rules for language {language!r}", f"it knows {known}")
    try:
        from sacremoses import MosesPunctNormalizer, MosesTokenizer
    except ImportError as error:
        raise UsageError("protocol 'multi30k-lc' needs sacremoses", "pip install 'mtcli-nmt[moses]'") from error
    # Without perl_parity sacremoses turns a lone ’ into ', where the Moses script writes ".
    normalizer = MosesPunctNormalizer(language, perl_parity=True)
    tokenizer = MosesTokenizer(language)

    def rewrite(line: str) -> str:
        # The Moses script sees each line with its newline, so that `."` at the end becomes `".` in German too.
        normalized = normalizer.normalize(line.lower() + "\n")
        return str(tokenizer.tokenize(normalized, escape=True, return_str=True))

    return rewrite


multi30k_lc = Protocol(moses_lowercased, tokenize="none", mark="protocol:multi30k-lc")
