"""Half precisions learn on a processor, wherever it has them; each run is a process, for some processors kill it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

OVERFIT = """
import sys, torch
from mtcli.device import choose_precision
from mtcli.errors import UsageError
torch.set_num_threads(1)
try:
    precision = choose_precision(sys.argv[1], torch.device("cpu"))
except UsageError:
    sys.exit(77)
from mtcli.settings import TrainingSettings
from mtcli.training.loop import train_step
from tests.training.test_loop import fresh, group
settings = TrainingSettings(lr=1e-2, warmup_steps=10, schedule="constant", label_smoothing=0.0)
state = fresh(precision, settings)
for _ in range(80):
    metrics = train_step(state, group([0, 1, 2, 3], [4, 5, 6]), settings)
print(metrics.loss.item() / metrics.target_tokens, state.progress.skipped, state.model.output.weight.dtype)
"""


@pytest.mark.parametrize("name", ["fp32", "bf16", "fp16"])
def test_a_batch_is_learnt_by_heart(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", OVERFIT, name],
        cwd=ROOT,
        env={key: value for key, value in os.environ.items() if key != "ONEDNN_MAX_CPU_ISA"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 77:
        pytest.skip(f"this processor has no {name}")
    assert done.returncode == 0, done.stderr
    loss, skipped, dtype = done.stdout.split()
    assert float(loss) < 0.1, "of about 2.8 at the start"
    assert (skipped, dtype) == ("0", "torch.float32")
