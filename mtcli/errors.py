"""Failures that a user can act on, each with its documented exit code.

Anything raised that is not a `UserError` is a bug of ours and ends in a traceback (exit code 1).
"""

from __future__ import annotations


class UserError(Exception):
    """A failure to report as one sentence: what happened, where, and below it what to do.

    `message` is one line without a final full stop; each of `details` is printed on its own indented line.
    """

    exit_code = 1

    def __init__(self, message: str, *details: str) -> None:
        super().__init__(message)
        self.message = message
        self.details = details

    def __str__(self) -> str:
        return "\n  ".join((self.message, *self.details))


class UsageError(UserError):
    """The command line or a recipe asks for something that does not exist or contradicts itself."""

    exit_code = 2


class DataError(UserError):
    """The corpora are missing, damaged, empty or do not match each other."""

    exit_code = 3


class ModelError(UserError):
    """A model, checkpoint or tokenizer is missing, corrupt or does not match."""

    exit_code = 4


class ResourceError(UserError):
    """Memory, disk or permission to write ran out."""

    exit_code = 5


class DivergenceError(UserError):
    """Training diverged; the message names the last good checkpoint."""

    exit_code = 6


class BusyError(UserError):
    """The directory is in use by another run; the message names host and process."""

    exit_code = 7


class InterruptedRun(UserError):  # noqa: N818 - a request, not an error
    """A signal asked training to stop, and everything has been saved; 130 for SIGINT, 143 for SIGTERM."""

    def __init__(self, exit_code: int, message: str, *details: str) -> None:
        super().__init__(message, *details)
        self.exit_code = exit_code


def out_of_memory(error: BaseException) -> bool:
    """Whether it is about memory, in Python or in PyTorch, which often says so in words only."""
    words = ("can't allocate memory", "out of memory", "ALLOC_FAILED")
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and any(each in str(error) for each in words))
    )
