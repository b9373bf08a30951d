"""What a user wants in translations and what not, and the requests that it makes of each line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from mtcli.decoding.forbidden import Forbidden
from mtcli.decoding.prefix import Prefix
from mtcli.decoding.request import Request, Rule
from mtcli.decoding.required import Phrase, Required
from mtcli.decoding.spelling import Spelling
from mtcli.decoding.terms import Terms
from mtcli.decoding.words import Words, kind_of
from mtcli.errors import DataError, UsageError

if TYPE_CHECKING:
    from mtcli.decoding.searcher import Part

ROOM = 20
"""Tokens that a translation may have beyond its prefix and required words, however short the source is."""

STOP = "。"
"""A sign after which a word of a script without spaces is cut into tokens as it is within a sentence."""

UNWRITABLE = "the vocabulary has no way to write it; models trained with --byte-fallback can write everything"


class Speller(Protocol):
    """What wishes need of a tokenizer; tokens are without BOS and EOS."""

    def encode_target(self, lines: Sequence[str]) -> list[list[int]]:
        """The tokens of each line."""

    def spelling_target(self) -> list[str | bytes]:
        """What each token adds to the text: characters, a byte, or nothing."""


class Wishes:
    """Words forbidden or required in all translations, and a terminology; all of them normalised, none empty.

    Raises `UsageError` if they contradict each other, or if a required word cannot be written.
    """

    def __init__(
        self,
        tokenizer: Speller,
        forbidden: Sequence[str] = (),
        required: Sequence[str] = (),
        terms: Terms | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.required = list(dict.fromkeys(required))
        self.terms = terms
        self.forbidden = list(dict.fromkeys(forbidden))
        wanted = [*self.required, *(terms.wanted if terms else [])]
        self.require_words = bool(wanted)
        refuse_contradiction(self.forbidden, wanted)
        self.phrases = {text: self.phrase(text) for text in wanted}

    @cached_property
    def spelling(self) -> Spelling:
        """What the target tokens spell."""
        return Spelling(self.tokenizer.spelling_target())

    @cached_property
    def ban(self) -> Forbidden:
        """The rule that keeps the forbidden words out; one for all lines, because it learns."""
        return Forbidden(self.spelling, self.forbidden)

    @cached_property
    def forbidden_words(self) -> Words:
        """The forbidden words, to be found in finished text."""
        return Words(self.forbidden)

    def added(self, request: Request, part: Part, longest: int | None) -> Request:
        """The request for a part of a line with what is wished of it, if the model can predict `longest` tokens."""
        rules: tuple[Rule, ...] = (self.ban,) if self.forbidden else ()
        forced = 0
        if part.prefix.strip():
            prefix, forced = self.prefix(part.prefix, longest)
            rules = (prefix, *rules)
        phrases = [self.phrases[word] for word in self.words_for(part.text, part.first)]
        forced += sum(len(phrase.segmentations[0]) for phrase in phrases)
        limit = max(request.limit, forced + ROOM) if forced else request.limit
        required = Required(self.spelling, phrases) if phrases else None
        return replace(request, limit=min(limit, longest or limit), rules=rules, required=required)

    def words_for(self, source: str, first: bool = True) -> list[str]:
        """What the translation of a line must contain; of a later part of a line only what its own terms ask for."""
        words = [*(self.required if first else []), *(self.terms.targets(source) if self.terms else [])]
        return list(dict.fromkeys(words))

    def lacking(self, source: str, translation: str) -> list[str]:
        """The words that the translation of a line should contain and does not."""
        words = self.words_for(source)
        found = {phrase for _, _, phrase in Words(words).find(translation)}
        return [word for number, word in enumerate(words) if number not in found]

    def unwanted(self, translation: str) -> list[str]:
        """The forbidden words in a translation.

        There are some where a prefix has one, and where the parts of a long line, which know nothing of each other,
        come to stand side by side.
        """
        return [self.forbidden[phrase] for _, _, phrase in self.forbidden_words.find(translation)]

    def prefix(self, text: str, longest: int | None) -> tuple[Prefix, int]:
        """The rule that forces a prefix, and how many tokens it takes.

        Its last word may go on, unless a space follows it. Raises `DataError` if the model cannot write the prefix.
        """
        tokens = self.tokens_of(text, longest)
        last = max(n for n, token in enumerate(tokens) if n == 0 or self.spelling.utf8[token][:1] == b" ")
        forced, rest = tokens[:last], self.spelling.written(tokens[last:])
        if text.endswith(" "):
            forced, rest = tokens, b" "
        return Prefix(self.spelling, forced, rest), len(tokens)

    def tokens_of(self, text: str, longest: int | None) -> list[int]:
        """The tokens of a prefix; `DataError` if a model that predicts `longest` tokens cannot write it."""
        (tokens,) = self.tokenizer.encode_target([text.strip()])
        if self.spelling.written(tokens).strip(b" ") != text.strip().encode():
            raise DataError(f"no translation can begin with {text.strip()!r}", UNWRITABLE)
        if longest and len(tokens) >= longest:
            raise DataError(
                f"no translation can begin with {text.strip()!r}",
                f"it takes {len(tokens):,} tokens, and the model predicts {longest:,} at most",
            )
        return tokens

    def phrase(self, text: str) -> Phrase:
        """A required phrase with the tokens that spell it after a space, and in some scripts without one."""
        spaced, attached = self.tokenizer.encode_target([text, STOP + text])
        if self.spelling.written(spaced).strip(b" ") != text.encode():
            raise UsageError(f"no translation can contain {text!r}", UNWRITABLE)
        ways = [tuple(spaced)]
        for start in range(1, len(attached)):
            if kind_of(text[0]) == "other" and self.spelling.written(attached[start:]) == text.encode():
                ways.append(tuple(attached[start:]))
        return Phrase(text, tuple(ways))


def refuse_contradiction(forbidden: Sequence[str], wanted: Sequence[str]) -> None:
    """Raise `UsageError` for a required phrase that has a forbidden one in it."""
    words = Words(forbidden)
    for text in wanted:
        for _, _, phrase in words.find(text):
            raise UsageError(f"{text!r} is required, but {forbidden[phrase]!r} is forbidden", "choose one of the two")
