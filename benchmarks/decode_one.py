"""One decoder in a process of its own: throughput with and without (de)tokenisation, latency, translations.

    PYTHON benchmarks/decode_one.py ENGINE --model DIR --sentences FILE --out FILE [--beam 5] [--limits ...]

ENGINE is mtcli, ctranslate2 or transformers, and PYTHON an interpreter that has it. Writes one JSON object. The
model's folder also holds its SentencePiece model, except for CTranslate2, which is given --pieces.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from measure import QUIET, Stopwatch

Tokens = list[Any]
LONGEST = 100


class Engine(Protocol):
    """A decoder; `whole` goes from text to text, `bare` from tokens to tokens; both batch as they see fit."""

    def whole(self, lines: list[str]) -> list[str]: ...
    def encode(self, lines: list[str]) -> list[Tokens]: ...
    def bare(self, rows: list[Tokens]) -> list[Tokens]: ...


class Mtcli:
    """`Translator`, as `mtcli translate` uses it; `args.threads` are workers, and threads if there is one worker."""

    def __init__(self, args: argparse.Namespace) -> None:
        from mtcli.cli.model import load
        from mtcli.decoding.translator import Translator

        workers, threads = args.threads
        typed = {"decoding": "beam", "beam_size": args.beam} if args.beam > 1 else {"decoding": "greedy"}
        typed |= {"device": "cpu", "threads": threads}
        loaded = load([args.model], typed, precision=args.type, workers=workers)
        self.tokenizer = loaded.restored.tokenizer
        self.recorded = Recorded()
        self.text, self.tokens = (
            Translator(loaded.restored.model, tokenizer, loaded.decoding, loaded.device, workers=workers)
            for tokenizer in (self.tokenizer, self.recorded)
        )

    def whole(self, lines: list[str]) -> list[str]:
        from mtcli.data.normalize import normalize

        return [translation.text for translation in self.text.translate([normalize(line) for line in lines])]

    def encode(self, lines: list[str]) -> list[Tokens]:
        return self.tokenizer.encode_source(lines)

    def bare(self, rows: list[Tokens]) -> list[Tokens]:
        self.recorded.rows = rows
        found = self.tokens.translate([str(index) for index in range(len(rows))])
        return [list(translation.hypotheses[0].tokens) for translation in found]


class Recorded:
    """A tokenizer that knows the tokens of line `i` by the text `i`, and leaves outputs alone."""

    rows: list[Tokens]

    def encode_source(self, lines: Sequence[str]) -> list[Tokens]:
        return [self.rows[int(line)] for line in lines]

    def decode_target(self, outputs: Sequence[Sequence[int]]) -> list[str]:
        return [""] * len(outputs)


class CTranslate2:
    """A converted model; `args.threads` are its workers and the threads of each."""

    def __init__(self, args: argparse.Namespace) -> None:
        import ctranslate2
        import sentencepiece

        workers, threads = args.threads
        kind = {"fp32": "float32", "int8": "int8"}[args.type]
        self.translator = ctranslate2.Translator(
            str(args.model), compute_type=kind, inter_threads=workers, intra_threads=threads
        )
        self.options = {"beam_size": args.beam, "max_decoding_length": LONGEST, "max_batch_size": args.batch}
        self.pieces = sentencepiece.SentencePieceProcessor(model_file=str(args.pieces))
        # Marian models want the end of the source in the text; ours has it added by the converted model.
        self.end = ["</s>"] if args.add_end else []

    def encode(self, lines: list[str]) -> list[Tokens]:
        return [[*row, *self.end] for row in self.pieces.encode(lines, out_type=str)]

    def bare(self, rows: list[Tokens]) -> list[Tokens]:
        results = self.translator.translate_batch(rows, batch_type="tokens", **self.options)
        return [result.hypotheses[0] for result in results]

    def whole(self, lines: list[str]) -> list[str]:
        return [self.pieces.decode_pieces(row) for row in self.bare(self.encode(lines))]


class Transformers:
    """`generate` of a Marian model, in batches of similar length."""

    def __init__(self, args: argparse.Namespace) -> None:
        import sentencepiece
        import torch
        from transformers import MarianMTModel

        torch.set_num_threads(args.threads[1])
        self.torch = torch
        self.model = MarianMTModel.from_pretrained(args.model).eval()
        self.pieces = sentencepiece.SentencePieceProcessor(model_file=str(args.model / "source.spm"))
        self.pad, self.end = self.model.config.pad_token_id, self.model.config.eos_token_id
        self.beam, self.batch = args.beam, args.batch

    def encode(self, lines: list[str]) -> list[Tokens]:
        return [[*row, self.end] for row in self.pieces.encode(lines)]

    def bare(self, rows: list[Tokens]) -> list[Tokens]:
        order = sorted(range(len(rows)), key=lambda place: -len(rows[place]))
        found: list[Tokens] = [[] for _ in rows]
        with self.torch.inference_mode():
            while order:
                size = max(1, self.batch // len(rows[order[0]]))
                places, order = order[:size], order[size:]
                for place, tokens in zip(places, self.generate([rows[place] for place in places]), strict=True):
                    found[place] = [token for token in tokens[1:] if token not in (self.pad, self.end)]
        return found

    def generate(self, rows: list[Tokens]) -> list[Tokens]:
        width = max(map(len, rows))
        source = self.torch.tensor([row + [self.pad] * (width - len(row)) for row in rows])
        mask = source.ne(self.pad).long()
        output = self.model.generate(
            input_ids=source, attention_mask=mask, num_beams=self.beam, do_sample=False, max_length=LONGEST + 1
        )
        return output.tolist()

    def whole(self, lines: list[str]) -> list[str]:
        return [self.pieces.decode(row) for row in self.bare(self.encode(lines))]


ENGINES: dict[str, Any] = {"mtcli": Mtcli, "ctranslate2": CTranslate2, "transformers": Transformers}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("engine", choices=list(ENGINES))
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--sentences", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--beam", type=int, default=5)
    parser.add_argument("--type", default="fp32", help="fp32, bf16 or int8")
    parser.add_argument("--threads", type=int, nargs=2, default=[1, 2], help="workers, and threads of each")
    parser.add_argument("--batch", type=int, default=2048, help="source tokens in a batch; mtcli has its own setting")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--latency", type=int, default=200, help="sentences to translate one by one")
    parser.add_argument("--pieces", type=Path, help="SentencePiece model for CTranslate2")
    parser.add_argument("--add-end", action="store_true", help="append </s> to the source for CTranslate2")
    args = parser.parse_args()
    lines = args.sentences.read_text(encoding="utf-8").rstrip("\n").split("\n")
    started = time.perf_counter()
    engine: Engine = ENGINES[args.engine](args)
    loaded = time.perf_counter() - started
    args.out.write_text(json.dumps({"load_s": loaded, **measured(engine, lines, args)}), encoding="utf-8")


def measured(engine: Engine, lines: list[str], args: argparse.Namespace) -> dict[str, Any]:
    """Every figure of one decoder; what is measured first is run on a few lines before."""
    rows = engine.encode(lines)
    engine.whole(lines[:50])
    outputs, bare = repeated(engine.bare, rows, args.repeat)
    texts, whole = repeated(engine.whole, lines, args.repeat)
    seconds = [single(engine, line) for line in lines[: args.latency]]
    tokens = sum(len(output) + 1 for output in outputs)  # with EOS
    return {"bare": bare, "whole": whole, "latency": seconds, "tokens": tokens, "texts": texts, "outputs": outputs}


def repeated(work: Any, items: list[Any], times: int) -> tuple[list[Any], list[dict[str, float]]]:
    """The result of `work`, and items per second of each time; up to twice as often while others disturb."""
    samples: list[dict[str, float]] = []
    while len(samples) < 2 * times and sum(sample["other"] < QUIET for sample in samples) < times:
        with Stopwatch() as watch:
            result = work(items)
        samples.append(vars(watch.sample(len(items))))
    return result, samples


def single(engine: Engine, line: str) -> float:
    """Seconds for one sentence alone, from text to text."""
    started = time.perf_counter()
    engine.whole([line])
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
