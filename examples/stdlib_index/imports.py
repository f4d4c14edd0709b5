"""Who imports whom: import statements resolved against the modules that exist.

`from a import b` means a module `a.b` or something that `a` defines, and what `a` defines wins: `from unittest import
main` is a function, although there is a module `unittest.main`. So the packages are looked at first.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from asyncflow import Outcome, op
from examples.stdlib_index.parsing import UnreadableSourceError, syntax_tree
from examples.stdlib_index.records import Import, Module, Parsed, Source


@dataclass(frozen=True, slots=True)
class Known:
    """What an import may mean.

    Args:
        modules: All modules: those with a source file, and those compiled into Python or beside it.
        defined: The dotted names that packages define themselves.
    """

    modules: frozenset[str]
    defined: frozenset[str]

    def is_module(self, name: str) -> bool:
        """Says whether a dotted name, imported from a package, is a module."""
        return name in self.modules and name not in self.defined


def packages(sources: Iterable[Source]) -> list[Source]:
    """Returns the sources that are packages."""
    return [source for source in sources if source.is_package]


@op(pool="disk", tags={"kind": "cpu"}, priority=1)
def list_names(package: Source) -> list[str]:
    """Returns the dotted names that a package's own file defines.

    It reads and parses, so it needs a slot of both limits. No file can be linked before all packages have been seen,
    so it goes before the reading and parsing of files.
    """
    tree = syntax_tree(Path(package.root, package.path).read_bytes(), filename=package.path)
    names: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.Name(id=name, ctx=ast.Store()):
                names.add(name)
            case ast.ImportFrom(module=str(), names=aliases):
                names.update(alias.asname or alias.name for alias in aliases)
            case _:
                pass
    return sorted(f"{package.module}.{name}" for name in names)


def known_names(sources: Iterable[Source], defined: Iterable[Iterable[str]]) -> Known:
    """Returns what an import may mean."""
    modules = frozenset({source.module for source in sources} | sys.stdlib_module_names)
    return Known(modules, frozenset(name for names in defined for name in names))


@op(tags={"kind": "cpu"})
def link(outcome: Outcome[Parsed], known: Known) -> Module:
    """Resolves the imports of a file that was parsed, and keeps the reason of one that was not.

    Raises:
        BaseException: whatever else went wrong with the file: that is a defect, and the run shall say so.
    """
    if isinstance(outcome.error, UnreadableSourceError):
        return Module(outcome.error.source, None, problem=outcome.error.reason)
    parsed = outcome.unwrap()
    first: dict[str, int] = {}
    for statement in parsed.imports:
        target = resolve(statement, parsed.source, known)
        if target is not None and target != parsed.source.module:
            first.setdefault(target, statement.line)
    return Module(parsed.source, parsed, tuple(sorted(first.items())))


def resolve(statement: Import, source: Source, known: Known) -> str | None:
    """Returns the module that one imported name comes from; None where it is not part of the library."""
    base = statement.module
    if statement.level:
        package = source.module.split(".") if source.is_package else source.module.split(".")[:-1]
        above = len(package) - (statement.level - 1)
        if above < 1:
            return None
        base = ".".join([*package[:above], *([base] if base else [])])
    if statement.name is not None and known.is_module(f"{base}.{statement.name}"):
        return f"{base}.{statement.name}"
    while base and base not in known.modules:  # `import os.path` has no file of that name: it is in `os`
        base = base.rpartition(".")[0]
    return base or None
