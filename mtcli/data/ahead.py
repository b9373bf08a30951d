"""Batches made in a second thread while the one before is computed with."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from mtcli.data.batches import Batches, Place
from mtcli.layout import Batch


class Ahead:
    """The same batches in the same order, one of them ready beforehand."""

    def __init__(self, batches: Batches) -> None:
        self.batches = batches

    def from_(self, place: Place, rank: int = 0, world: int = 1) -> Iterator[tuple[Batch, Place]]:
        """All batches from `place` on, without end."""
        stream = self.batches.from_(place, rank, world)
        with ThreadPoolExecutor(1) as worker:
            coming = worker.submit(next, stream)
            while True:
                batch = coming.result()
                coming = worker.submit(next, stream)
                yield batch
