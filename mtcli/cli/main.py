"""The command `mtcli`: its verbs, and what becomes of their failures."""

from __future__ import annotations

import logging
import os
import sys
from typing import Annotated

import typer
from typer.exceptions import Abort, TyperException

from mtcli.cli import average, data, evaluate, info, score, tokenizer, train, translate
from mtcli.errors import ResourceError, UsageError, UserError

app = typer.Typer(
    name="mtcli",
    help="Train, use and score neural machine translation models.",
    no_args_is_help=True,
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


@app.callback()
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
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        # Text is UTF-8 whatever the locale says; a character that cannot be written is our bug, not the user's.
        stream.reconfigure(encoding="utf-8", errors="replace", newline="\n")  # type: ignore[union-attr]
    logging.basicConfig(format="warning: %(message)s", level=logging.WARNING)
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code; failures that a user can act on are printed to stderr."""
    try:
        result = app(arguments, prog_name="mtcli", standalone_mode=False)
        sys.stdout.flush()
    except TyperException as error:
        return complain(UsageError(error.format_message().rstrip("."), "mtcli --help shows what there is"))
    except UserError as error:
        return complain(error)
    except BrokenPipeError:
        # Python flushes stdout once more at exit; the reader is gone, so let it go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (KeyboardInterrupt, Abort):
        return 130
    except OSError as error:
        return complain(ResourceError(f"{error.filename or 'stdout'}: {error.strerror}"))
    return result if isinstance(result, int) else 0


def complain(error: UserError) -> int:
    """Print what, where and what to do; return the exit code."""
    lines = [f"error: {error.message}", *(f"  {detail}" for detail in error.details)]
    print("\n".join(lines), file=sys.stderr)
    return error.exit_code
