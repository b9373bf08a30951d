"""Imports point down only, never sideways; the floors of the house stand here and in the plan, nowhere else."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "mtcli"

FLOORS = [
    {"errors"},
    {"catalog", "protocol"},
    {"language"},
    {"settings", "presets"},
    {"recipe"},
    {"layout", "device"},
    {"packing"},
    {"kernels", "machine"},
    {"data", "model"},
    {"decoding", "checkpoint"},
    {"evaluation"},
    {"training"},
    {"cli"},
    {"__main__"},
]
FLOOR = {room: height for height, rooms in enumerate(FLOORS) for room in rooms}
NO_TORCH = ("errors", "catalog", "settings", "presets", "recipe", "protocol", "language")


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Every module that a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.stem != "__init__")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    here = room(path)
    for name in imported(path):
        if name.startswith("mtcli.") and (there := name.split(".")[1]) != here:
            assert FLOOR[there] < FLOOR[here], f"{path.name} in {here} imports {name}"


@pytest.mark.parametrize("path", [PACKAGE / f"{name}.py" for name in NO_TORCH], ids=lambda path: path.stem)
def test_the_ground_floor_knows_no_torch(path: Path) -> None:
    assert not {name for name in imported(path) if name.split(".")[0] in ("torch", "datasets", "jaxtyping")}


def test_initialisers_hold_a_docstring_only() -> None:
    for path in PACKAGE.rglob("__init__.py"):
        assert len(ast.parse(path.read_text(encoding="utf-8")).body) <= 1, path


HELP = ["--help", "train --help", "translate --help", "data check -h", "bench translate --help", "bench train --help"]


@pytest.mark.parametrize("arguments", HELP)
def test_help_loads_neither_torch_nor_datasets(arguments: str) -> None:
    program = (
        "import sys; from mtcli.cli.main import run; code = run(sys.argv[1:]);"
        "heavy = {'torch', 'datasets', 'sacrebleu', 'sentencepiece', 'numpy'} & set(sys.modules);"
        "sys.exit(code or f'loaded {heavy}' if code or heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments.split()], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "mtcli" in done.stdout


def test_only_the_command_line_prints_or_exits() -> None:
    for path in FILES:
        if room(path) == "cli":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("print", "exit", "input"), path
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "sys":
                assert node.attr not in ("exit", "argv"), path
