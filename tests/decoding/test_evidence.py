"""How translations came about, told from forced passes over them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from mtcli.decoding.evidence import Evidence, Examiner, first_words
from mtcli.decoding.translator import TextHypothesis, Translation, Translator
from mtcli.layout import BOS, EOS, Batch
from mtcli.settings import DecodingSettings
from tests.decoding.toys import Table, log_softmax

STRATEGIES = ("greedy", "beam", "sample")


class Looking(Table):
    """Looks from the target token at place t at the source token at place t + 1, from late ones at the first."""

    supports_attention = True

    def attention(self, batch: Batch) -> Tensor:
        weights = torch.full((*batch.target_in.shape, batch.source.shape[1]), 0.01)
        for row, length in enumerate(batch.source_rows.lengths.tolist()):
            for t in range(weights.shape[1]):
                weights[row, t, t + 1 if t + 2 < length else 0] = 0.5
        return weights


class Letters:
    """A token for each visible character; target texts have a space before each third token."""

    def encode_source(self, lines: Sequence[str]) -> list[list[int]]:
        return [[4 + ord(c) % 5 for c in line if not c.isspace()] for line in lines]

    def decode_target(self, outputs: Sequence[Sequence[int]]) -> list[str]:
        return ["".join(self.surfaces_target(output)).strip() for output in outputs]

    def pieces_target(self, tokens: Sequence[int]) -> list[str]:
        return [f"<{token}>" for token in tokens]

    def surfaces_source(self, line: str) -> list[str]:
        return [
            f" {c}" if line[place - 1 : place].isspace() else c for place, c in enumerate(line) if not c.isspace()
        ]

    def surfaces_target(self, tokens: Sequence[int]) -> list[str]:
        return [" " * (place % 3 == 0) + "abcde"[token - 4] for place, token in enumerate(tokens)]


def tools(
    max_source: int = 1024, model: type[Table] = Looking, ending: float = -0.5, **changes
) -> tuple[Translator, Examiner]:
    wanted = DecodingSettings(**{"max_output_ratio": 0.5, "batch_tokens": 60, **changes})
    parts = model(9, 1, ending), Letters()
    cpu = torch.device("cpu")
    translator = Translator(*parts, wanted, cpu)
    translator.max_source = max_source
    return translator, Examiner(*parts, wanted.batch_tokens, cpu)


def token_by_token(model: Table, source: Sequence[int], hypothesis: TextHypothesis) -> list[float]:
    wanted = [*hypothesis.tokens, *[EOS] * hypothesis.finished]
    tables = [model.logits((*source, EOS), (BOS, *wanted[:t])) for t in range(len(wanted))]
    return [log_softmax(table)[token] for table, token in zip(tables, wanted, strict=True)]


LINES = ["abc fed", "", "a", "cab cab abc ab", "  ", "fed abc"]


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_pieces_and_how_likely_each_was(strategy: str, finished: bool) -> None:
    width = 1 if strategy == "greedy" else 3
    translator, examiner = tools(decoding=strategy, n_best=width, ending=1.0 if finished else -50)
    translations = translator.translate(LINES)
    found = examiner.evidence(translations)
    assert [len(each) for each in found] == [len(t.hypotheses) for t in translations]
    for translation, each in zip(translations, found, strict=True):
        for hypothesis, evidence in zip(translation.hypotheses, each, strict=True):
            expected = token_by_token(translator.model, translation.parts[0].tokens, hypothesis)
            assert evidence.log_probs == pytest.approx(expected)
            assert sum(evidence.log_probs) == pytest.approx(hypothesis.log_prob)
            ended = [f"<{EOS}>"] * hypothesis.finished
            assert list(evidence.pieces) == [*(f"<{token}>" for token in hypothesis.tokens), *ended]
    assert {h.finished for t in translations for h in t.hypotheses} == {finished}


def looks(translation: Translation) -> set[tuple[int, int]]:
    """The links of `Looking`, for a line in one part: of words of three tokens, told by their tokens."""
    (part,) = translation.parts
    source = [number for number, word in enumerate(translation.source.split()) for _ in word]
    links = set()
    count = len(translation.hypotheses[0].tokens)
    for word in range(-(-count // 3)):
        totals = [0.0] * (source[-1] + 1)
        for t in range(3 * word, min(3 * word + 3, count)):
            for place, number in enumerate(source):
                at = t + 1 if t + 1 < len(part.tokens) else 0
                totals[number] += 0.5 if place == at else 0.01
        links.add((max(range(len(totals)), key=totals.__getitem__), word))
    return links


def test_links_follow_the_weights_and_not_the_batch() -> None:
    translator, examiner = tools(ending=-2)
    translations = translator.translate(LINES)
    found = examiner.alignments(translations)
    assert [set(links) for links in found] == [looks(t) if t.hypotheses else set() for t in translations]
    assert len({source for links in found for source, _ in links}) > 2
    for translation, links in zip(translations, found, strict=True):
        assert examiner.alignments([translation]) == [links]
        assert [each.links for each in examiner.evidence([translation])[0][:1]] == [links][
            : len(translation.hypotheses)
        ]


def test_a_line_in_parts_has_the_evidence_of_its_parts_in_a_row() -> None:
    translator, examiner = tools(max_source=8)
    parts = ["ab cde.", "fed ba.", "bad"]
    (long,) = translator.translate(["  ".join(parts)])
    apart = translator.translate(parts)
    alone = [examiner.evidence([each])[0][0] for each in apart]
    (whole,) = examiner.evidence([long])[0][:1]
    assert whole.pieces == tuple(piece for each in alone for piece in each.pieces)
    assert whole.pieces.count(f"<{EOS}>") == 3
    assert whole.log_probs == pytest.approx([value for each in alone for value in each.log_probs])
    assert sum(whole.log_probs) == pytest.approx(long.hypotheses[0].log_prob)
    expected, of_source, of_target = [], 0, 0
    for part, translation, evidence in zip(parts, apart, alone, strict=True):
        expected += [(of_source + i, of_target + j) for i, j in evidence.links or ()]
        of_source += len(part.split())
        of_target += len(translation.text.split())
    assert list(whole.links or ()) == expected
    assert examiner.alignments([long]) == [tuple(expected)]
    assert {j for _, j in expected} == set(range(len(long.text.split())))


def test_a_word_that_is_cut_is_one_word_in_both_parts() -> None:
    assert first_words("one two three", ["one", "two", "three"]) == [0, 1, 2]
    assert first_words("onetwo three", ["one", "two", "three"]) == [0, 0, 1]
    assert first_words("  一二 three", ["一", "二", "three"]) == [0, 1, 2]
    assert first_words("a", ["a"]) == [0]
    translator, examiner = tools(max_source=8)
    translations = translator.translate(["abc" * 10])
    (links,) = examiner.alignments(translations)
    assert {i for i, _ in links} == {0}
    assert {j for _, j in links} == set(range(len(translations[0].text.split())))


def test_a_model_without_weights_has_no_links() -> None:
    translator, examiner = tools(model=Table)
    (found,) = examiner.evidence(translator.translate(["abc"]))
    assert [each.links for each in found] == [None]
    assert isinstance(found[0], Evidence)


def test_nothing_is_asked_of_the_model_where_there_is_nothing() -> None:
    translator, examiner = tools()
    translations = translator.translate(["", " "])
    assert examiner.evidence(translations) == [[], []]
    assert examiner.alignments(translations) == [(), ()]
