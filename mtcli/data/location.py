"""Where the files of a corpus are, and what to say when they are not there."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from mtcli.data.decompressors import FORMATS
from mtcli.errors import DataError

SUFFIXES = ("", *FORMATS)
"""Suffixes that a file of text may have, in the order of preference."""


def require_file(name: str) -> str:
    """`name`, if it is a file; otherwise `DataError` with the names of similar ones."""
    path = Path(name)
    if _is_file(path):
        return name
    if path.exists():
        raise DataError(f"{name} is not a file")
    raise DataError(f"there is no file {name}", *_near(path, _names_beside(path)))


def two_files(prefix: str, languages: tuple[str, str]) -> tuple[str, str]:
    """The files of source and target, each plain or compressed; `DataError` says what was looked for."""
    wanted = [f"{prefix}.{language}" for language in languages]
    found = [_first_of(name) for name in wanted]
    source, target = found
    if source is not None and target is not None:
        return source, target
    endings = ", ".join(FORMATS)
    there = source or target
    if there is not None:
        missing = wanted[found.index(None)]
        raise DataError(
            f"{missing} is missing beside {there}", f"a corpus needs both languages; {endings} are looked for too"
        )
    raise DataError(
        f"there is no corpus {prefix}",
        f"looked for {wanted[0]} and {wanted[1]} (also {endings})",
        *_hints(Path(prefix), languages),
    )


def _first_of(name: str) -> str | None:
    for suffix in SUFFIXES:
        if _is_file(Path(name + suffix)):
            return name + suffix
    return None


def _is_file(path: Path) -> bool:
    """Whether it is a regular file, which can be read more than once; a name with a NUL is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _hints(prefix: Path, languages: tuple[str, str]) -> list[str]:
    if _is_file(prefix):
        ending = prefix.suffix.removeprefix(".")
        if ending in languages:
            return [f"a corpus is named without the language: {prefix.with_suffix('')}"]
        return [f"{prefix} is a file: is it .tsv or .jsonl?"]
    names = _names_beside(prefix)
    others = sorted({name.removeprefix(f"{prefix.name}.") for name in names if name.startswith(f"{prefix.name}.")})
    if others:
        return [f"there are files of that name ending in: {', '.join(others[:10])}"]
    stems = {name.removesuffix(suffix) for name in names for suffix in SUFFIXES}
    prefixes = {
        stem.removesuffix(f".{language}") for stem in stems for language in languages if stem.endswith(language)
    }
    tables = {name for name in names if ".tsv" in name or ".jsonl" in name}
    return _near(prefix, sorted(prefixes | tables))


def _names_beside(path: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in path.parent.iterdir())
    except (OSError, ValueError):
        return []


def _near(path: Path, names: list[str]) -> list[str]:
    if not path.parent.is_dir():
        return [f"there is no directory {path.parent}"]
    near = get_close_matches(path.name, names, n=3)
    return [f"did you mean {' or '.join(str(path.parent / name) for name in near)}?"] if near else []
