"""What passes from op to op: frozen records without behaviour."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Source:
    """A source file: where it is, and which module it is.

    Args:
        root: The folder of the standard library.
        path: The file below it, with `/` between its parts.
        module: The dotted name.
    """

    root: str
    path: str
    module: str

    @property
    def is_package(self) -> bool:
        """True for an `__init__.py`."""
        return self.path.rpartition("/")[2] == "__init__.py"


@dataclass(frozen=True, slots=True)
class Text:
    """The bytes of a source file."""

    source: Source
    data: bytes


@dataclass(frozen=True, slots=True)
class Function:
    """A function or method, by its qualified name."""

    name: str
    line: int
    lines: int
    parameters: int
    is_async: bool


@dataclass(frozen=True, slots=True)
class Import:
    """One import as written: `from ..b import c` has level 2, module "b" and name "c"."""

    module: str
    name: str | None
    level: int
    line: int


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a parsed file has in it."""

    source: Source
    bytes: int
    lines: int
    classes: int
    functions: tuple[Function, ...]
    imports: tuple[Import, ...]


@dataclass(frozen=True, slots=True)
class Module:
    """A module as it is stored.

    Args:
        source: The file it came from.
        parsed: What is in it; None where it could not be parsed.
        imported: The modules it imports, each with the line of the first import, by name.
        problem: Why it could not be parsed.
    """

    source: Source
    parsed: Parsed | None
    imported: tuple[tuple[str, int], ...] = ()
    problem: str | None = None
