"""How fast do the toolkits that decode by a command of their own translate, beside `mtcli translate`?

    PEERS=DIR PEER_SCRIPTS=DIR python benchmarks/decode_commands.py -m RUN --runs fairseq=NAME eole=NAME sockeye=NAME

Whole processes are timed, in turn, on Multi30k's test_2016_flickr: one for a single sentence (which is the cold
start), one for all sentences in batches, one for some sentences in batches of one. The cold start is taken off the
other two. NAME is a run that PEER_SCRIPTS' `train.sh` left in PEERS/runs, of the same shape as RUN with weights of
its own; its `decode.sh` runs the toolkit. CTranslate2 and transformers, which have no such command, are in
`decode.py`.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import measure
from measure import Child, Report, Sample, child, figure


@dataclass
class Toolkit:
    """One row of the table: `run(sentences, one_by_one)` translates that many and returns process and output."""

    name: str
    beam: int
    run: Callable[[int, bool], tuple[Child, list[str]]]
    start: list[Sample] = field(default_factory=list)
    """Cold starts with one sentence, in starts per second."""
    many: list[Sample] = field(default_factory=list)
    single: list[Sample] = field(default_factory=list)
    peaks: list[float] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("-m", "--model", type=Path, required=True, help="a run of mtcli")
    parser.add_argument("--runs", nargs="+", default=[], metavar="TOOLKIT=NAME", help="fairseq, eole, sockeye")
    parser.add_argument("--beams", type=int, nargs="+", default=[5, 1])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--limit", type=int, default=1000, help="sentences")
    parser.add_argument("--latency", type=int, default=50, help="sentences to translate one by one")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--peers", type=Path, help="environments of the other toolkits [default: $PEERS]")
    parser.add_argument("--peer-scripts", type=Path, help="their recipes [default: $PEER_SCRIPTS]")
    parser.add_argument("--corpora", type=Path, help="[default: $CORPORA, or beside the checkout]")
    parser.add_argument("--results", type=Path, help="where to write [default: benchmarks/results]")
    args = parser.parse_args()
    peers, scripts = measure.folder(args.peers, "PEERS"), measure.folder(args.peer_scripts, "PEER_SCRIPTS")
    corpora = measure.corpora(args.corpora)
    if not (corpora and peers and scripts):
        sys.exit("this benchmark needs --corpora, --peers and --peer-scripts")
    test = corpora / "multi30k" / "test_2016_flickr"
    sources, references = (test.with_name(f"{test.name}.{side}") for side in ("en", "de"))
    with tempfile.TemporaryDirectory() as scratch:
        toolkits = [*own(args, sources, Path(scratch)), *others(args, peers, scripts)]
        for number in range(args.rounds):
            for toolkit in toolkits:
                decode(toolkit, args)
                print(f"round {number + 1}: {toolkit.name}, beam {toolkit.beam}", figure(toolkit.many), flush=True)
    path = Report(
        name="decode-commands",
        title=f"Decoding {args.limit:,} sentences of {test.name} by whole commands",
        command=measure.command_line(
            {"PEERS": peers, "PEER_SCRIPTS": scripts, "CORPORA": corpora, "RUN": args.model}
        ),
        rows=[
            row_of(toolkit, references.read_text(encoding="utf-8").split("\n")[: args.limit]) for toolkit in toolkits
        ],
        notes=notes(args),
        versions=measure.versions("torch", "sentencepiece") | peer_versions(args, peers),
        raw=[measured(toolkit) for toolkit in toolkits],
    ).write(args.results)
    print(path.read_text(encoding="utf-8"))


def own(args: argparse.Namespace, sources: Path, scratch: Path) -> Iterator[Toolkit]:
    """`mtcli translate`, in each arithmetic that this machine is good at."""
    lines = sources.read_text(encoding="utf-8").split("\n")
    out = scratch / "translations"
    for beam in args.beams:
        for precision in measure.precisions():
            command: list[str | Path] = [Path(sys.executable).with_name("mtcli"), "translate", "-m", args.model]
            command += ["--device", "cpu", "--precision", precision, "--threads", str(args.threads)]
            command += ["--beam-size", str(beam)] if beam > 1 else ["--greedy"]

            def run(count: int, one_by_one: bool, command: list[str | Path] = command) -> tuple[Child, list[str]]:
                words = [*command, "--batch-tokens", "1"] if one_by_one else command
                written = f"{shlex.join(map(str, words))} > {shlex.quote(str(out))}"
                done = child(["bash", "-c", written], stdin="\n".join(lines[:count]) + "\n")
                return done, out.read_text(encoding="utf-8").rstrip("\n").split("\n")

            yield Toolkit(f"mtcli {precision}", beam, run)


def others(args: argparse.Namespace, peers: Path, scripts: Path) -> Iterator[Toolkit]:
    """The toolkits of `--runs`, in fp32; they read and write pieces."""
    for beam in args.beams:
        for word in args.runs:
            kind, _, name = word.partition("=")

            def run(count: int, one_by_one: bool, kind: str = kind, name: str = name, beam: int = beam) -> Any:
                # sockeye counts sentences, the others source tokens
                batch = 1 if one_by_one else 64 if kind == "sockeye" else 2048
                environment = {"PEERS": peers, "DATA": peers / "data", "THREADS": str(args.threads)}
                command = ["bash", scripts / "decode.sh", kind, name, str(beam), str(batch), str(count)]
                done = child(command, environment)
                pieces = (peers / "runs" / name / f"beam{beam}.batch{batch}.sp.de").read_text(encoding="utf-8")
                return done, [joined(line) for line in pieces.rstrip("\n").split("\n")]

            yield Toolkit(kind, beam, run)


def joined(pieces: str) -> str:
    """The text that SentencePiece pieces, separated by blanks, stand for."""
    return pieces.replace(" ", "").replace("\N{LOWER ONE EIGHTH BLOCK}", " ").strip()


def decode(toolkit: Toolkit, args: argparse.Namespace) -> None:
    """One round of one toolkit: three processes."""
    start, _ = toolkit.run(1, False)
    many, toolkit.texts = toolkit.run(args.limit, False)
    single, _ = toolkit.run(args.latency, True)
    toolkit.start.append(Sample(1 / start.seconds, start.other))
    toolkit.many.append(Sample((args.limit - 1) / (many.seconds - start.seconds), many.other))
    toolkit.single.append(Sample((args.latency - 1) / (single.seconds - start.seconds), single.other))
    toolkit.peaks.append(many.peak_mb)


def row_of(toolkit: Toolkit, references: list[str]) -> dict[str, Any]:
    """What is known of one toolkit."""
    from mtcli.evaluation import evaluate

    return {
        "toolkit": toolkit.name,
        "beam": toolkit.beam,
        "sentences/s": figure(toolkit.many),
        "one sentence, ms": f"{1000 / figure(toolkit.single).median:.0f}",
        "cold start, s": f"{1 / figure(toolkit.start).median:.1f}",
        "peak MB": f"{max(toolkit.peaks):.0f}",
        "words per sentence": f"{sum(len(text.split()) for text in toolkit.texts) / len(toolkit.texts):.1f}",
        "BLEU": f"{evaluate(toolkit.texts, [references], ['bleu'], 'de')[0].value:.2f}",
    }


def notes(args: argparse.Namespace) -> list[str]:
    """How to read the table."""
    return [
        f"median (lowest-highest) of {args.rounds} rounds, all toolkits in turn, {args.threads} threads; a ! says "
        f"that other processes used over {measure.QUIET} cores in too many of them",
        "sentences/s: beyond the cold start, in batches, reading and writing files included; mtcli from text to "
        "text, the others from pieces to pieces",
        "one sentence: one after the other in one process, beyond the cold start",
        "cold start: a whole process that translates one sentence",
        "every toolkit has weights of its own. The others' are from a few hundred updates: their BLEU says nothing "
        "about the toolkit, and where their sentences are shorter than mtcli's, their speed is flattered",
    ]


def measured(toolkit: Toolkit) -> dict[str, Any]:
    """The measurements behind a row."""
    samples = {name: [vars(sample) for sample in getattr(toolkit, name)] for name in ("start", "many", "single")}
    return {"name": toolkit.name, "beam": toolkit.beam, "peaks_mb": toolkit.peaks, **samples}


def peer_versions(args: argparse.Namespace, peers: Path) -> dict[str, str]:
    """Versions of the other toolkits."""
    names = [word.partition("=")[0] for word in args.runs]
    return {name: measure.foreign_version(peers / name / "bin" / "python", name) for name in names}


if __name__ == "__main__":
    main()
