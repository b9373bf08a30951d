"""The command `mtcli`: its verbs, and what becomes of their failures."""

from __future__ import annotations

import logging
import os
import shlex
import sys
from contextlib import suppress
from io import TextIOWrapper
from typing import Annotated

import typer
from typer.exceptions import Abort, TyperException

from mtcli.cli import average, bench, data, evaluate, info, score, tokenizer, train, translate
from mtcli.cli.streams import silence
from mtcli.errors import InterruptedRun, ResourceError, UsageError, UserError, out_of_memory

app = typer.Typer(
    name="mtcli",
    no_args_is_help=True,
    help="Train, use and score neural machine translation models.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("train")(train.train)
app.command("translate")(translate.translate)
app.command("eval")(evaluate.evaluate)
app.command("score")(score.score)
app.command("info")(info.info)
app.command("average")(average.average)
app.add_typer(tokenizer.app, name="tokenizer")
app.add_typer(data.app, name="data")
app.add_typer(bench.app, name="bench")


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="show the version and exit", is_eager=True)] = False,
) -> None:
    """Train, use and score neural machine translation models."""
    if version:
        from importlib.metadata import version as installed

        print(f"mtcli {installed('mtcli-nmt')}")
        raise typer.Exit


def main() -> None:
    """Run the command line of this process and exit with the documented code."""
    let_threads_sleep()
    if sys.stderr is None:  # closed by the caller; without this, print would fall back on stdout
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - as long as the process
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # Text is UTF-8 whatever the locale says; a character that cannot be written is our bug, not the user's.
            stream.reconfigure(encoding="utf-8", errors="replace", newline="\n")
    logging.getLogger().addHandler(Warnings(logging.WARNING))
    sys.exit(run(sys.argv[1:]))


def let_threads_sleep() -> None:
    """Let PyTorch's threads sleep soon when they wait for each other, unless the user says how they are to wait.

    GNU OpenMP, which looks at this once, when PyTorch is loaded, spins 300,000 times by default. Beside another
    busy program they then wait for threads that do not run, and hold up those that would: steps take ages.
    """
    if not os.environ.keys() & {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}:
        os.environ["GOMP_SPINCOUNT"] = SPINS


SPINS = "10000"
"""A thirtieth of the default: 2 to 4 % slower where nothing else runs, many times faster where something does."""


class Warnings(logging.Handler):
    """What libraries warn of, as our own warnings; `sys.stderr` is looked up late, since a live line replaces it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one warning."""
        print(f"warning: {record.getMessage()}", file=sys.stderr)


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code; failures that a user can act on are printed to stderr."""
    try:
        if sys.stdout is None:
            raise ResourceError("stdout is closed")
        code = attempt(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        silence(sys.stdout)
        return 141
    except OSError as error:
        if error.filename is None:
            silence(sys.stdout)
        return complain(ResourceError(f"{error.filename or 'stdout'}: {error.strerror}"))
    except UserError as error:
        return complain(error)
    return code


def attempt(arguments: list[str]) -> int:
    """Run one command line and return its exit code; what may be wrong with stdout is left to the caller."""
    try:
        result = app(arguments, prog_name="mtcli", standalone_mode=False, obj=arguments)
    except TyperException as error:
        return help_or_complaint(error)
    except InterruptedRun as error:
        again = shlex.join(["mtcli", *arguments])
        details = error.details if "TORCHELASTIC_RUN_ID" in os.environ else [f"to go on: {again}"]
        return complain(InterruptedRun(error.exit_code, error.message, *details))
    except UserError as error:
        return complain(error)
    except (KeyboardInterrupt, Abort):
        return 130
    except SystemExit as leaving:
        if isinstance(leaving.__context__, OSError):  # Typer answers a broken pipe with exit code 1
            raise leaving.__context__ from None
        raise
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        return complain(ResourceError("there is not enough memory for this", *MEMORY_HINTS))
    return result if isinstance(result, int) else 0


MEMORY_HINTS = ("training: a smaller model or --precision bf16; translating: lower --batch-tokens or --beam-size",)


def help_or_complaint(error: TyperException) -> int:
    """Print what Typer found wrong with the command line, in our words; without any argument, the help."""
    message = error.message if hasattr(error, "possibilities") else error.format_message()
    if type(error).__name__ == "NoArgsIsHelpError":
        print(message, file=sys.stderr)
        return UsageError.exit_code
    # Of an option, Typer tells the near ones apart from the message; of a command, within it.
    near = " or ".join(sorted(getattr(error, "possibilities", None) or []))
    message, _, nearest = message.partition(". Did you mean ")
    context = getattr(error, "ctx", None)
    return complain(
        UsageError(
            message[:1].lower() + message[1:].rstrip("."),
            *([f"did you mean {near or nearest.rstrip('?')}?"] if near or nearest else []),
            f"{context.command_path if context else 'mtcli'} --help shows what there is",
        )
    )


def complain(error: UserError) -> int:
    """Print what, where and what to do; return the exit code."""
    lines = [f"error: {error.message}", *(f"  {detail}" for detail in error.details)]
    with suppress(OSError):  # where nobody can read it, the exit code still speaks
        print("\n".join(lines), file=sys.stderr)
    return error.exit_code
