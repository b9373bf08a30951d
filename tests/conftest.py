"""What every test shares: one processor thread, and shapes that are checked as they are written."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
# Where a test wants two threads, they sleep while they wait: to spin takes ages on a machine that is busy.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from jaxtyping import install_import_hook

# Every jaxtyping annotation in these modules is compared with the tensors that arrive, call by call.
LOOPS = ("beam", "banks", "diverse", "sampling", "mbr", "utility", "scorer")
CHOICES = ("filters", "selection", "control", "forbidden", "prefix", "ensemble")
SEARCH = [f"mtcli.decoding.{name}" for name in (*LOOPS, *CHOICES)]
install_import_hook(["mtcli.layout", "mtcli.packing", "mtcli.kernels", "mtcli.model", *SEARCH], "beartype.beartype")
