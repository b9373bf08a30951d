"""How fast are 1,000 sentences translated, and how fast is one, beside the other decoders?

    PEERS=DIR python benchmarks/decode.py -m RUN [--same-weights] [--marian DIR] [--first DIR] [--rounds 2]

Translates Multi30k's test_2016_flickr with the run's model, beam 5 and greedy. With PEERS, CTranslate2 and
`transformers` decode beside it: models of their own (--marian, what `hf_marian.py` trained, with `ct2/` beside
`model/`), of the same shape but with other weights; or, with --same-weights, this very model in CTranslate2.
--first is a checkout of mtcli with an older decoder, to be compared with this one.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import measure
from measure import Report, Sample, child, figure

HERE = Path(__file__).parent


@dataclass
class Decoder:
    """One row of the table: an engine, a model, an arithmetic and a layout of threads."""

    name: str
    engine: str
    python: Path
    model: Path
    type: str
    beam: int
    threads: tuple[int, int]
    extra: list[str] = field(default_factory=list)
    checkout: Path = measure.ROOT
    runs: list[dict[str, Any]] = field(default_factory=list)
    peaks: list[float] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("-m", "--model", type=Path, default=measure.ROOT / "runs" / "demo", help="a run of mtcli")
    parser.add_argument("--marian", type=Path, help="a run of hf_marian.py: model/ and ct2/")
    parser.add_argument("--same-weights", action="store_true", help="convert the run for CTranslate2")
    parser.add_argument("--first", type=Path, help="a checkout of mtcli with an older decoder")
    parser.add_argument("--beams", type=int, nargs="+", default=[5, 1])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--limit", type=int, default=1000, help="sentences")
    parser.add_argument("--latency", type=int, default=200, help="sentences to translate one by one")
    parser.add_argument("--only", nargs="+", choices=["mtcli", "ctranslate2", "transformers"])
    parser.add_argument("--peers", type=Path, help="environments of the other toolkits [default: $PEERS]")
    parser.add_argument("--corpora", type=Path, help="[default: $CORPORA; without it, the sample corpus]")
    parser.add_argument("--name", default="decode", help="of the results")
    parser.add_argument("--results", type=Path, help="where to write [default: benchmarks/results]")
    args = parser.parse_args()
    peers, corpora = measure.folder(args.peers, "PEERS"), measure.corpora(args.corpora)
    test = corpora / "multi30k" / "test_2016_flickr" if corpora else measure.ROOT / "data" / "sample" / "test"
    sources, references = (read(test.with_name(f"{test.name}.{side}"))[: args.limit] for side in ("en", "de"))
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        (scratch / "sentences").write_text("\n".join(sources) + "\n", encoding="utf-8")
        entries = [each for each in decoders(args, peers, scratch) if not args.only or each.engine in args.only]
        for number in range(args.rounds):
            for decoder in entries:
                decode(decoder, scratch, args)
                print(f"round {number + 1}: {decoder.name}", figure(samples(decoder, "whole")), flush=True)
    rows = [row_of(decoder, references) for decoder in entries]
    folders = {"PEERS": peers, "CORPORA": corpora, "RUN": args.model, "MARIAN": args.marian}
    path = Report(
        name=args.name,
        title=f"Decoding {len(sources):,} sentences of {test.name}",
        command=measure.command_line(folders),
        rows=rows,
        notes=[*notes(args), *agreements(entries)],
        versions=measure.versions("torch", "sentencepiece") | peer_versions(peers),
        raw=[
            {"name": each.name, "beam": each.beam, "runs": stripped(each), "peaks_mb": each.peaks} for each in entries
        ],
    ).write(args.results)
    print(path.read_text(encoding="utf-8"))


def decoders(args: argparse.Namespace, peers: Path | None, scratch: Path) -> Iterator[Decoder]:
    """All that can decode here."""
    same = converted(args.model, peers, scratch) if args.same_weights and peers else None
    precisions = measure.precisions()
    for beam in args.beams:
        yield from own_decoders(args, (*precisions, "int8"), beam)
        if not peers:
            continue
        fast = peers / "ctranslate2" / "bin" / "python"
        for kind in ("int8", "fp32"):
            for threads in ((2, 1), (1, 2)):
                if same:
                    extra = ["--pieces", str(scratch / "tokenizer.model")]
                    yield Decoder(
                        f"CTranslate2 {kind}, same weights", "ctranslate2", fast, same, kind, beam, threads, extra
                    )
                if args.marian:
                    extra = ["--pieces", str(args.marian / "model" / "source.spm"), "--add-end"]
                    model = args.marian / "ct2"
                    yield Decoder(
                        f"CTranslate2 {kind}, its weights", "ctranslate2", fast, model, kind, beam, threads, extra
                    )
        if args.marian:
            python, model = peers / "transformers" / "bin" / "python", args.marian / "model"
            yield Decoder("transformers, its weights", "transformers", python, model, "fp32", beam, (1, 2))


def own_decoders(args: argparse.Namespace, precisions: Sequence[str], beam: int) -> Iterator[Decoder]:
    """Those of mtcli: of this checkout, and the older one."""
    own = Path(sys.executable)
    for kind in precisions:
        for threads in ((2, 1), (1, 2)):
            yield Decoder(f"mtcli {kind}", "mtcli", own, args.model, kind, beam, threads)
    if args.first:
        name = f"mtcli of {measure.commit(args.first)}, fp32"
        yield Decoder(name, "mtcli", own, args.model, "fp32", beam, (1, 2), checkout=args.first)


def converted(run: Path, peers: Path, scratch: Path) -> Path:
    """The run's best checkpoint as a CTranslate2 model, its tokenizer beside it."""
    from mtcli.checkpoint.steps import find

    out = scratch / "ct2"
    python = peers / "transformers" / "bin" / "python"
    child([python, HERE / "ctranslate2_model.py", find(run), out])
    (scratch / "tokenizer.model").write_bytes((find(run) / "tokenizer.model").read_bytes())
    return out


def decode(decoder: Decoder, scratch: Path, args: argparse.Namespace) -> None:
    """One run of one decoder, added to what is known of it."""
    out = scratch / "found.json"
    # generate() with a beam takes minutes for what takes the others seconds
    repeat = 1 if decoder.engine == "transformers" else args.repeat
    latency = args.latency // 4 if decoder.engine == "transformers" else args.latency
    script = decoder.checkout / "benchmarks" / "decode_one.py"
    command: list[str | Path] = [decoder.python, script, decoder.engine, "--model", decoder.model]
    command += ["--sentences", scratch / "sentences", "--out", out, "--beam", str(decoder.beam)]
    command += ["--type", decoder.type, "--threads", *map(str, decoder.threads), "--repeat", str(repeat)]
    command += ["--latency", str(latency), *decoder.extra]
    paths = {"PYTHONPATH": str(decoder.checkout)} if decoder.engine == "mtcli" else {}
    done = child(command, {"OMP_NUM_THREADS": str(decoder.threads[1])} | paths)
    decoder.peaks.append(done.peak_mb)
    decoder.runs.append(json.loads(out.read_text(encoding="utf-8")))


def row_of(decoder: Decoder, references: list[str]) -> dict[str, Any]:
    """What is known of one decoder."""
    from mtcli.evaluation import evaluate

    whole, bare = (figure(samples(decoder, what)) for what in ("whole", "bare"))
    latencies = sorted(1000 * seconds for run in decoder.runs for seconds in run["latency"])
    last = decoder.runs[-1]
    per_sentence = last["tokens"] / len(last["texts"])
    return {
        "decoder": decoder.name,
        "beam": decoder.beam,
        "workers x threads": "{} x {}".format(*decoder.threads),
        "sentences/s, text to text": whole,
        "sentences/s, tokens to tokens": bare,
        "target tokens/s": bare.median * per_sentence,
        "one sentence, ms": f"{statistics.median(latencies):.1f}",
        "95 % within, ms": f"{latencies[int(0.95 * len(latencies))]:.1f}",
        "peak MB": f"{max(decoder.peaks):.0f}",
        "load s": f"{min(run['load_s'] for run in decoder.runs):.2f}",
        "BLEU": f"{evaluate(last['texts'], [references], ['bleu'], 'de')[0].value:.2f}",
    }


def samples(decoder: Decoder, what: str) -> list[Sample]:
    """The samples of all runs."""
    return [Sample(**sample) for run in decoder.runs for sample in run[what]]


def agreements(entries: list[Decoder]) -> list[str]:
    """How many translations of the same weights are the same, letter for letter."""
    sentences = []
    for decoder in entries:
        if "same weights" in decoder.name:
            own = [each for each in entries if each.name == "mtcli fp32" and each.beam == decoder.beam]
            pairs = zip(own[0].runs[-1]["texts"], decoder.runs[-1]["texts"], strict=True) if own else []
            equal = [first.strip() == second.strip() for first, second in pairs]
            if equal:
                name = f"{decoder.name}, beam {decoder.beam}, {decoder.threads[0]} x {decoder.threads[1]}"
                sentences.append(
                    f"{name}: {sum(equal) / len(equal):.1%} of the translations equal those of mtcli fp32"
                )
    return sentences


def notes(args: argparse.Namespace) -> list[str]:
    """How to read the table."""
    return [
        f"median (lowest-highest) of {args.repeat} repeats in each of {args.rounds} processes, all decoders in turn; "
        f"repeats in which other processes used over {measure.QUIET} cores do not count, unless fewer than 3 are "
        "left: then all do, and a ! says so",
        "target tokens/s: of the best hypotheses with EOS, from tokens to tokens",
        "one sentence: from text to text, alone; the median, and what 95 % of the sentences stay below",
        "its weights: a model of the same shape and corpus, trained by `transformers`; same weights: this run's",
        "BLEU: sacreBLEU of raw text (13a, cased)",
    ]


def stripped(decoder: Decoder) -> list[dict[str, Any]]:
    """The runs without their text."""
    return [{key: value for key, value in run.items() if key not in ("texts", "outputs")} for run in decoder.runs]


def peer_versions(peers: Path | None) -> dict[str, str]:
    """Versions of the other decoders."""
    pythons = {name: peers / name / "bin" / "python" for name in ("ctranslate2", "transformers")} if peers else {}
    return {name: measure.foreign_version(python, name) for name, python in pythons.items() if python.exists()}


def read(path: Path) -> list[str]:
    """The lines of a file."""
    return path.read_text(encoding="utf-8").rstrip("\n").split("\n")


if __name__ == "__main__":
    main()
