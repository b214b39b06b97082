"""What can be trained, one file a recipe: `dcgan_mnist.py` is `ganrt train dcgan-mnist`.

A recipe's file has a docstring, whose first line is its line in --help and the bundle's description; `Settings`, a
`recipe.Settings` with defaults of its own; and `Recipe`, a `recipe.Recipe`. Nothing else registers it.
"""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from ganrt.errors import ArgumentError, legible

__all__ = ["RecipeFile", "find", "summaries"]


class RecipeFile(Protocol):
    """A module of this package. `Recipe(settings, data)` draws its weights from PyTorch's generator: seed it first."""

    Settings: Any
    Recipe: Any


def summaries() -> dict[str, str]:
    """The name of each recipe and what it is, read without importing it."""
    files = sorted(path for path in Path(__file__).parent.glob("*.py") if not path.name.startswith("_"))
    return {path.stem.replace("_", "-"): _first_line(path) for path in files}


def find(name: str) -> RecipeFile:
    """The recipe called `name`. Raises ArgumentError when there is none."""
    if name not in summaries():
        raise ArgumentError(f"'{legible(name, 60)}' is not a recipe; there are {', '.join(summaries())}.")
    module: Any = import_module(f"{__name__}.{name.replace('-', '_')}")
    return module  # type: ignore[no-any-return]


def _first_line(path: Path) -> str:
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]
