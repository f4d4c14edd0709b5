"""Who may import whom."""

import ast
import subprocess
import sys

import pytest

from tests.architecture.source import ROOT, Module, functions, imported_modules, modules, rooms

DRIVERS = frozenset({"pools"})
"""Rooms that import a driver where it is first needed, since it belongs to an extra."""

LAZY = {"_observers": frozenset({"structlog"}), "settings": frozenset({"yaml", "pydantic_settings"})}
"""What a room imports where it is first needed: structlog takes 80 to 250 ms, the others belong to an extra."""


def inner_imports(module: Module) -> list[tuple[ast.AST, str]]:
    """Returns the imports inside functions."""
    found: dict[int, tuple[ast.AST, str]] = {}
    for function in functions(module.tree):
        for node in ast.walk(function):
            if isinstance(node, ast.Import | ast.ImportFrom):
                for name in imported_modules(node):
                    found[id(node)] = (node, name)
    return list(found.values())


def room_imports(module: Module) -> list[tuple[ast.AST, str, str | None]]:
    """Returns the imports of rooms: where, the module, and the name taken from it (None for the module itself)."""
    found: list[tuple[ast.AST, str, str | None]] = []
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            found.extend([(node, alias.name, None) for alias in node.names])
        elif isinstance(node, ast.ImportFrom) and node.module == "asyncflow":
            found.extend([(node, f"asyncflow.{alias.name}", None) for alias in node.names])
        elif isinstance(node, ast.ImportFrom):
            found.extend([(node, node.module or "", alias.name) for alias in node.names])
    return [(node, name, taken) for node, name, taken in found if name.startswith("asyncflow.")]


def test_imports_stand_at_the_top() -> None:
    """A function that imports hides a circle or a cost; drivers and structlog are the two known costs."""
    hidden = [
        f"{module.at(node)} imports {name}"
        for module in modules()
        if module.room not in DRIVERS
        for node, name in inner_imports(module)
        if name.split(".")[0] not in LAZY.get(module.room, frozenset())
    ]
    assert hidden == []


def test_rooms_are_entered_by_their_face() -> None:
    """From outside a room only `from asyncflow._room import Name` is allowed, and Name is in its `__all__`."""
    breaches: list[str] = []
    for module in modules():
        for node, name, taken in room_imports(module):
            room = name.split(".")[1]
            if room not in rooms() or room == module.room:
                continue
            if name.count(".") > 1:
                breaches.append(f"{module.at(node)} enters {name} past the face of {room}")
            elif taken is not None and taken not in rooms()[room]:
                breaches.append(f"{module.at(node)} takes {taken}, which {room} does not show")
    assert breaches == []


def test_no_module_of_the_package_imports_testing() -> None:
    """`testing` may import everything, and nothing imports it, the package's own first file included."""
    users = [
        f"{module.at(node)} imports {name}"
        for module in modules()
        if module.room != "testing"
        for node, name, _ in room_imports(module)
        if name.split(".")[1] == "testing"
    ]
    assert users == []


@pytest.mark.slow
def test_the_map_holds() -> None:
    """Imports go down only, every top-level module has its place, and the core imports no extra (pyproject.toml)."""
    command = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    checked = subprocess.run(
        [sys.executable, "-c", command, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
