"""A corpus from the Hugging Face hub or from a directory that its `datasets` library reads, streamed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtcli.data.rows import Place, Row, Unreadable, sides
from mtcli.errors import DataError, UsageError

PREFIX = "hf:"


@dataclass(frozen=True)
class HuggingFace:
    """One split of a data set; its rows have a `translation`, or a column for each side."""

    name: str
    languages: tuple[str, str]
    dataset: Any

    @classmethod
    def open(cls, name: str, languages: tuple[str, str]) -> HuggingFace:
        """Find `hf:NAME[:CONFIG][@SPLIT]`; the split is `train` unless given. Raises `DataError`."""
        path, config, split = parse(name)
        # No base class is documented for what can be raised: by the library, pyarrow, the network, the file system.
        try:
            dataset = _load(path, config, split)
        except UsageError:
            raise
        except Exception as error:
            where = "" if Path(path).is_dir() else "neither a directory here nor loaded from the hub"
            details = [detail for detail in (_first_line(error), where and f"{path} is {where}") if detail]
            raise DataError(f"{name} cannot be loaded", *details) from error
        return cls(name, languages, dataset)

    def rows(self) -> Iterator[Row | Unreadable]:
        """The rows of the split, of which a few are in memory at a time."""
        number = 0
        try:
            for number, record in enumerate(self.dataset, start=1):
                yield sides(record, self.languages, Place(self.name, number))
        except Exception as error:
            raise DataError(f"{self.name} cannot be read after row {number:,}", _first_line(error)) from error

    def digest(self) -> str:
        """SHA-256 of the text, which takes one pass: a stream has no fingerprint that lasts."""
        whole = hashlib.sha256()
        for row in self.rows():
            facts = [row.source, row.target] if isinstance(row, Row) else [row.reason]
            whole.update(json.dumps(facts).encode())
        return whole.hexdigest()


def parse(name: str) -> tuple[str, str | None, str]:
    """`hf:NAME[:CONFIG][@SPLIT]` as path, configuration and split; a directory's name may contain `:` and `@`."""
    rest = name.removeprefix(PREFIX)
    head, at, tail = rest.rpartition("@")
    path, split = (head, tail) if at and not Path(rest).is_dir() else (rest, "train")
    head, colon, tail = path.rpartition(":")
    path, config = (head, tail) if colon and not Path(path).is_dir() else (path, None)
    if not path or not split or config == "":
        raise UsageError(f"{name!r} does not name a data set", "write hf:NAME_OR_DIRECTORY[:CONFIG][@SPLIT]")
    return path, config, split


def _load(path: str, config: str | None, split: str) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise UsageError(
            "hf: corpora need the Hugging Face datasets library", "install it: pip install 'mtcli-nmt[hf]'"
        ) from error
    datasets.disable_progress_bars()
    return datasets.load_dataset(path, name=config, split=split, streaming=True)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
