"""Where code of asyncflow can be suspended, and where it was when it was cancelled."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import asyncflow

ROOT = Path(asyncflow.__file__).parent
CANCELLED: set[tuple[str, int]] = set()
"""File and line of every frame of asyncflow that was suspended when a cancellation reached it."""

INNER = ("coroutine", "inner", "waiting_for")
"""Names of locals in which a frame that drives a coroutine by hand has it."""


class Point(NamedTuple):
    """A place where a frame can be suspended: an `await`, `async with`, `async for` or `yield` in async code."""

    file: str
    first: int
    last: int
    function: str
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.first} in {self.function}: {self.text}"


LEFT_OUT = ("cli/", "testing/", "pools/", "_leases/")
"""The command line, the test tools, and what talks to pool backends, whose own tests cancel it."""


def points() -> list[Point]:
    """Returns all such places in `src/asyncflow`, but those of `LEFT_OUT`."""
    found: list[Point] = []
    for file in sorted(ROOT.rglob("*.py")):
        name = str(file.relative_to(ROOT))
        if not name.startswith(LEFT_OUT):
            found.extend(_points_in(file.read_text(), name))
    return found


def _points_in(source: str, file: str) -> Iterator[Point]:
    lines = source.splitlines()
    for function in ast.walk(ast.parse(source)):
        driven = isinstance(function, ast.FunctionDef) and any(
            getattr(one, "attr", "") == "coroutine" for one in function.decorator_list
        )
        if isinstance(function, ast.AsyncFunctionDef) or driven:
            for node in _own(function):
                if isinstance(node, (ast.Await, ast.Yield, ast.YieldFrom)):
                    text = lines[node.lineno - 1].strip()
                    yield Point(file, node.lineno, node.end_lineno or node.lineno, function.name, text)
                elif isinstance(node, (ast.AsyncWith, ast.AsyncFor)):
                    text = lines[node.lineno - 1].strip()
                    yield Point(file, node.lineno, node.body[0].lineno - 1, function.name, text)


def _own(function: ast.AST) -> Iterator[ast.AST]:
    """Yields the nodes of a function without those of functions inside it."""
    for child in ast.iter_child_nodes(function):
        if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield child
            yield from _own(child)


def note_cancelled(awaitable: Any) -> None:
    """Notes where everything stands that a cancellation will reach through this coroutine."""
    todo: list[Any] = [awaitable]
    seen: set[int] = set()
    while todo:
        one = todo.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        for kind in ("cr", "gi", "ag"):
            frame = getattr(one, f"{kind}_frame", None)
            if frame is not None:
                if frame.f_code.co_filename.startswith(str(ROOT)):
                    CANCELLED.add((str(Path(frame.f_code.co_filename).relative_to(ROOT)), frame.f_lineno))
                    if kind == "gi":
                        todo.extend([frame.f_locals.get(name) for name in INNER])
                todo.append(getattr(one, f"{kind}_await", None) or getattr(one, f"{kind}_yieldfrom", None))
        if type(one).__name__ in {"async_generator_asend", "async_generator_athrow", "coroutine_wrapper"}:
            import gc

            todo.extend(
                [part for part in gc.get_referents(one) if inspect.isasyncgen(part) or inspect.iscoroutine(part)]
            )


def missed() -> list[Point]:
    """Returns the places where nothing was ever cancelled."""
    lines: dict[str, set[int]] = {}
    for file, line in CANCELLED:
        lines.setdefault(file, set()).add(line)
    return [one for one in points() if not lines.get(one.file, set()) & set(range(one.first, one.last + 1))]
