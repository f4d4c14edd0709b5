"""The project's own source, parsed once, for tests that read it."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "asyncflow"


@dataclass(frozen=True)
class Module:
    """One source file.

    Args:
        path: From the project's root.
        name: As imported.
        text: What it says.
        tree: The same, parsed.
    """

    path: str
    name: str
    text: str
    tree: ast.Module

    @property
    def room(self) -> str:
        """The part of the name that has a place on the map: `_limits` for `asyncflow._limits.ledger`."""
        parts = self.name.split(".")
        return parts[1] if len(parts) > 1 else ""

    def at(self, node: ast.AST) -> str:
        """Returns where a node is, as editors link it."""
        return f"{self.path}:{getattr(node, 'lineno', 0)}"


@cache
def modules() -> tuple[Module, ...]:
    """Returns every module of the package."""
    found: list[Module] = []
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = file.relative_to(ROOT / "src").with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        text = file.read_text(encoding="utf-8")
        found.append(Module(str(file.relative_to(ROOT)), name, text, ast.parse(text)))
    return tuple(found)


@cache
def rooms() -> dict[str, tuple[str, ...]]:
    """Returns every room that is a package, with the names of its face (`__all__`)."""
    faces: dict[str, tuple[str, ...]] = {}
    for module in modules():
        if module.name.count(".") == 1 and module.path.endswith("__init__.py"):
            faces[module.room] = tuple(listed_names(module.tree))
    return faces


def listed_names(tree: ast.Module) -> list[str]:
    """Returns what `__all__` lists."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            return [str(name) for name in ast.literal_eval(node.value)]
    return []


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Gives every function, methods and inner functions among them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def imported_modules(node: ast.Import | ast.ImportFrom) -> list[str]:
    """Returns the modules an import statement names."""
    return [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]


def called_name(call: ast.Call) -> str:
    """Returns what is called, with dots: `loop.create_task`; "" for anything else than names."""
    parts: list[str] = []
    function: ast.expr = call.func
    while isinstance(function, ast.Attribute):
        parts.append(function.attr)
        function = function.value
    if isinstance(function, ast.Name):
        parts.append(function.id)
    elif not parts:
        return ""
    return ".".join(reversed(parts))


@cache
def project_files() -> tuple[Path, ...]:
    """Returns every text file of the project that is, or would be, committed."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT, capture_output=True, check=False, text=True,
    )  # fmt: skip
    if listed.returncode == 0:
        files = [ROOT / name for name in listed.stdout.split("\0") if name]
    else:  # not a clone: an unpacked source distribution
        files = [file for folder in ("src", "tests", "examples", "docs") for file in (ROOT / folder).rglob("*")]
    return tuple(file for file in files if file.is_file() and is_text(file))


def is_text(file: Path) -> bool:
    """Says whether a file is UTF-8 text."""
    try:
        file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return False
    return True
