"""The index in SQLite. One connection, used from whichever thread an op runs on, and never by two at once.

That is what the pool `db` with its limit of 1 is for: every method that touches the connection is an op of that pool.
`_alone` does not wait for anything; it raises where the limit was forgotten, instead of mixing two transactions.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, Final, Self

from asyncflow import op
from examples.stdlib_index.records import Module

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS modules (
    name TEXT PRIMARY KEY, path TEXT NOT NULL, bytes INTEGER, lines INTEGER, classes INTEGER, functions INTEGER,
    problem TEXT, rank REAL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS functions (
    module TEXT NOT NULL REFERENCES modules (name), line INTEGER NOT NULL, name TEXT NOT NULL, lines INTEGER NOT NULL,
    parameters INTEGER NOT NULL, is_async INTEGER NOT NULL, PRIMARY KEY (module, line, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS imports (
    importer TEXT NOT NULL, imported TEXT NOT NULL, line INTEGER NOT NULL, PRIMARY KEY (importer, imported)
) WITHOUT ROWID;
"""


class Database:
    """The index, written anew, or gone on with.

    Args:
        path: Its file.
        keep: True to go on with what is there; otherwise it is replaced.
    """

    def __init__(self, path: Path, *, keep: bool = False) -> None:
        if not keep:
            for leftover in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
                leftover.unlink(missing_ok=True)
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.executescript(SCHEMA)
        self._lock = Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    @contextmanager
    def _alone(self) -> Generator[sqlite3.Connection, None, None]:
        """Gives the connection to one op for one transaction."""
        if not self._lock.acquire(blocking=False):
            raise RuntimeError("two ops use the database at once; give the pool 'db' the limit 1")
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")
        finally:
            self._lock.release()

    @op(pool="db")
    def write(self, module: Module) -> None:
        """Stores a module with its functions and imports, all or nothing; once more gives the same.

        A process may die after this was committed and before its record was: then it is done again.
        """
        name, parsed = module.source.module, module.parsed
        size = (None,) * 4 if parsed is None else (parsed.bytes, parsed.lines, parsed.classes, len(parsed.functions))
        functions = () if parsed is None else parsed.functions
        with self._alone() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO modules VALUES (?, ?, ?, ?, ?, ?, ?, NULL)",
                (name, module.source.path, *size, module.problem),
            )
            connection.executemany(
                "INSERT OR REPLACE INTO functions VALUES (?, ?, ?, ?, ?, ?)",
                [(name, f.line, f.name, f.lines, f.parameters, f.is_async) for f in functions],
            )
            connection.executemany(
                "INSERT OR REPLACE INTO imports VALUES (?, ?, ?)",
                [(name, imported, line) for imported, line in module.imported],
            )

    @op(pool="db")
    def edges(self) -> list[tuple[str, str]]:
        """Returns who imports whom, in order."""
        with self._alone() as connection:
            return connection.execute("SELECT importer, imported FROM imports ORDER BY importer, imported").fetchall()

    @op(pool="db")
    def write_ranks(self, ranks: Mapping[str, float]) -> None:
        """Stores the rank of every module with a source file."""
        with self._alone() as connection:
            connection.executemany(
                "UPDATE modules SET rank = ? WHERE name = ?", [(r, name) for name, r in ranks.items()]
            )

    @op(pool="db")
    def totals(self) -> dict[str, int]:
        """Returns how much there is of everything."""
        with self._alone() as connection:
            row = connection.execute(
                "SELECT count(*), count(problem), sum(bytes), sum(lines), sum(classes), sum(functions),"
                " (SELECT count(*) FROM imports) FROM modules"
            ).fetchone()
        names = ("modules", "unreadable", "bytes", "lines", "classes", "functions", "imports")
        return {name: count or 0 for name, count in zip(names, row, strict=True)}

    @op(pool="db")
    def problems(self) -> list[dict[str, Any]]:
        """Returns the files that could not be parsed, and why."""
        with self._alone() as connection:
            rows = connection.execute("SELECT path, problem FROM modules WHERE problem IS NOT NULL ORDER BY path")
            return [{"path": path, "problem": problem} for path, problem in rows]
