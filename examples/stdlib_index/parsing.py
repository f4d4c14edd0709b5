"""From bytes to records: CPU work on threads, so it carries a tag that a limit can count.

CPython before 3.14 counts the depth of the tree it builds in one place for all threads; where two of them build trees
at once, and the interpreter changes between them in the middle, it raises `SystemError` (python/cpython#106905). So
one tree is built at a time there, which costs nothing where only one thread can run Python code anyhow.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from threading import Lock

from asyncflow import op
from examples.stdlib_index.records import Function, Import, Parsed, Source, Text

_one_tree = Lock() if sys.version_info < (3, 14) else nullcontext()


class UnreadableSourceError(Exception):
    """A file that Python itself would refuse. The standard library has some on purpose, to test that."""

    def __init__(self, source: Source, reason: str) -> None:
        super().__init__(f"{source.path}: {reason}")
        self.source = source
        self.reason = reason


@op(tags={"kind": "cpu"})
def parse(text: Text) -> Parsed:
    """Parses one file.

    Raises:
        UnreadableSourceError: where it is not valid Python.
    """
    try:
        tree = syntax_tree(text.data, filename=text.source.path)
    except (SyntaxError, ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        raise UnreadableSourceError(text.source, f"{type(error).__name__}: {reason}") from error
    content = _Content()
    content.walk(tree, prefix="")
    lines = text.data.count(b"\n") + (not text.data.endswith(b"\n") and bool(text.data))
    return Parsed(text.source, len(text.data), lines, content.classes, tuple(content.functions), tuple(content.imports))


def syntax_tree(data: bytes, *, filename: str) -> ast.Module:
    """Returns the syntax tree of a source file."""
    with _one_tree:
        return ast.parse(data, filename=filename)


class _Content:
    """Gathers functions, classes and imports. Only statements are walked: expressions have none of them."""

    def __init__(self) -> None:
        self.functions: list[Function] = []
        self.imports: list[Import] = []
        self.classes = 0

    def walk(self, node: ast.AST, *, prefix: str) -> None:
        """Visits the statements below `node`; `prefix` is the qualified name of what they stand in."""
        for child in _statements(node):
            inner = prefix
            match child:
                case ast.Import(names=names):
                    self.imports += [Import(alias.name, None, 0, child.lineno) for alias in names]
                case ast.ImportFrom(module=module, names=names, level=level):
                    self.imports += [Import(module or "", alias.name, level, child.lineno) for alias in names]
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                    self.functions.append(_function(child, prefix + name))
                    inner = f"{prefix}{name}."
                case ast.ClassDef(name=name):
                    self.classes += 1
                    inner = f"{prefix}{name}."
                case _:
                    pass
            self.walk(child, prefix=inner)


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """Yields what a node has below it that is, or holds, statements."""
    for field in ("body", "handlers", "orelse", "finalbody", "cases"):
        block = getattr(node, field, ())
        if isinstance(block, list):  # a lambda's body is no list
            yield from block


def _function(node: ast.FunctionDef | ast.AsyncFunctionDef, name: str) -> Function:
    arguments = node.args
    named = len(arguments.posonlyargs) + len(arguments.args) + len(arguments.kwonlyargs)
    starred = (arguments.vararg is not None) + (arguments.kwarg is not None)
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    return Function(name, node.lineno, lines, named + starred, isinstance(node, ast.AsyncFunctionDef))
