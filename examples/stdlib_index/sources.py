"""Finding and reading the source files: ops on threads that share the pool `disk`."""

from __future__ import annotations

import sysconfig
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from asyncflow import op
from examples.stdlib_index.records import Source, Text

NOT_OURS: Final = frozenset({"site-packages", "dist-packages", "__pycache__"})


def stdlib_folder() -> Path:
    """Returns the folder of the running Python's standard library."""
    return Path(sysconfig.get_path("stdlib"))


@op(pool="disk")
def list_folders(root: Path) -> list[Path]:
    """Returns the root, for the files right in it, and every folder in it."""
    folders = [path for path in root.iterdir() if path.is_dir() and path.name not in NOT_OURS]
    return [root, *sorted(folders)]


@op(pool="disk")
def list_sources(folder: Path, root: Path) -> list[Source]:
    """Returns the source files of one folder; those of the root without what is below it."""
    if folder == root:
        paths = list(folder.glob("*.py"))
    else:
        paths = [path for path in folder.rglob("*.py") if NOT_OURS.isdisjoint(path.parts)]
    relative = sorted(path.relative_to(root).as_posix() for path in paths)
    return [Source(str(root), path, module_name(path)) for path in relative]


def module_name(path: str) -> str:
    """Returns the dotted name of a file: `email/__init__.py` is `email`."""
    parts = path.removesuffix(".py").split("/")
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def choose(found: Iterable[Iterable[Source]], limit: int | None) -> list[Source]:
    """Returns all sources, or `limit` of them, evenly spread, in order of their paths."""
    sources = sorted((source for folder in found for source in folder), key=lambda source: source.path)
    if limit is None or limit >= len(sources):
        return sources
    return [sources[i * len(sources) // limit] for i in range(limit)]


@op(pool="disk")
def read(source: Source) -> Text:
    """Reads one file."""
    return Text(source, Path(source.root, source.path).read_bytes())
