"""Records in a SQLite file: they are there when the process is not.

A transaction is in the file as soon as it is committed, so a killed process loses nothing of it; a power cut may lose
the last ones (`synchronous = NORMAL`), never the order. Several processes may use one file (WAL, and a wait where it is
locked). The file is made readable by its owner alone, since results may be anything.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, Final

from asyncflow._store import statements as sql
from asyncflow._store.entry import Entry, Kept, Mark, OpEntry, OpFilter, RunBegan, RunFilter, RunOver
from asyncflow._store.memory import items_of, moment
from asyncflow.errors import SchemaMismatch, StoreUnavailable
from asyncflow.records import OpRecord, RunRecord
from asyncflow.results import OpStatus, RunStatus

BUSY_SECONDS: Final = 5.0
"""How long it waits where another process has the file locked."""

BIG: Final = 64 * 1024
"""Characters from which on a value is written by itself."""

DAY: Final = 86_400.0


class SQLiteRuns:
    """Records of runs in a file.

    Args:
        path: The file; made where it is missing.
        keep_days: Runs that ended longer ago are removed when the file is opened; None keeps all.
    """

    def __init__(self, path: Path, *, keep_days: float | None = None) -> None:
        self.blocks = True
        self.path = path
        self.keep_days = keep_days

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"sqlite:///{self.path}"

    def open(self) -> SQLiteSession:
        """Opens the file, and removes what is older than it may be.

        Raises:
            StoreUnavailable: where it cannot be opened.
            SchemaMismatch: where it is newer than this asyncflow, of somebody else, or damaged.
        """
        connection: sqlite3.Connection | None = None
        try:
            self._make()
            connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)
            _prepare(connection, self.name)
            session = SQLiteSession(connection)
            if self.keep_days is not None:
                session.forget(time.time() - self.keep_days * DAY)
        except BaseException as error:
            if connection is not None:
                connection.close()
            if isinstance(error, OSError):
                raise StoreUnavailable(f"the store {self.name} cannot be opened: {error.strerror}") from error
            if isinstance(error, sqlite3.OperationalError):
                raise StoreUnavailable(f"the store {self.name} cannot be opened: {error}") from error
            if isinstance(error, sqlite3.DatabaseError):
                raise SchemaMismatch(
                    f"the store {self.name} is damaged, or no SQLite file ({error}); move it away, and a new one is"
                    " made"
                ) from error
            raise
        return session

    def _make(self) -> None:
        """Makes the file for its owner alone, where it is missing."""
        with contextlib.suppress(FileExistsError):
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _prepare(connection: sqlite3.Connection, name: str) -> None:
    """Sets the connection up, and makes the tables where there are none.

    Raises:
        SchemaMismatch: where the file is newer, or of somebody else.
    """
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    with transaction(connection):
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if not tables and not version:
            for statement in sql.CREATE:
                connection.execute(statement)
            return
    if application != sql.APPLICATION:
        raise SchemaMismatch(f"the store {name} is a database of something else; give the records a file of their own")
    if version != sql.VERSION:
        raise SchemaMismatch(
            f"the store {name} has tables of version {version}, and this asyncflow writes {sql.VERSION}: it was written"
            " by a newer one; upgrade asyncflow-executor, or give this one a file of its own"
        )


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Generator[None]:
    """Does what is inside whole, or not at all."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    try:
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def named(*values: object) -> dict[str, Any]:
    """Returns values as the parameters `:p1`, `:p2` … of a statement that uses some of them several times."""
    return {f"p{i}": value for i, value in enumerate(values, 1)}


class SQLiteSession:
    """An open file of records. Used by one thread, the one that opened it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def write(self, entries: Sequence[Entry]) -> None:
        """Writes entries, all or nothing."""
        with transaction(self._connection):
            ops: list[OpEntry] = []
            for entry in entries:
                if isinstance(entry, OpEntry):
                    ops.append(entry)
                    continue
                self._end_ops(ops)
                ops = []
                if isinstance(entry, RunBegan):
                    self._begin(entry)
                else:
                    self._end(entry)
            self._end_ops(ops)

    def _begin(self, run: RunBegan) -> None:
        execute = self._connection.execute
        itself = run.resumed_from == run.run_id
        for statement in sql.GO_ON_AS_ITSELF if itself else sql.FORGET_RUN:
            execute(statement, named(run.run_id))
        execute(
            sql.BEGIN_RUN,
            (
                run.run_id,
                run.graph,
                run.deployment,
                run.target,
                run.shape,
                run.keys,
                run.inputs,
                run.tags,
                run.priority,
                run.queued_at,
                run.resumed_from,
            ),
        )
        if run.resumed_from is not None and not itself:
            execute(sql.TAKE_OVER, named(run.run_id, run.resumed_from))

    def _end(self, run: RunOver) -> None:
        self._connection.execute(
            sql.END_RUN,
            named(run.run_id, run.status, run.attempts, run.started_at, run.ended_at, run.error, run.reason),
        )

    def _end_ops(self, ops: Sequence[OpEntry]) -> None:
        if not ops:
            return
        rows: list[list[object]] = []
        small: list[list[str]] = []
        for op in ops:
            maker = None if op.output is None else op.maker
            times = (op.started_at, op.ended_at)
            rows.append([op.run_id, op.key, op.status, op.attempts, *times, op.error, op.reason, maker])
            if op.output is None:
                continue
            if len(op.output) < BIG:
                small.append([op.maker, op.key, op.output])
            else:
                self._connection.execute(sql.KEEP_ONE, (op.maker, op.key, op.output))
        self._connection.execute(sql.END_OPS, (json.dumps(rows),))
        if small:
            self._connection.execute(sql.KEEP, (json.dumps(small),))

    def forget(self, ended_before: float) -> None:
        """Removes the records of runs that ended before a time, a few in each transaction."""
        while found := self._connection.execute(sql.OLD_RUNS, (ended_before,)).fetchall():
            with transaction(self._connection):
                for (run_id,) in found:
                    for statement in sql.FORGET_RUN:
                        self._connection.execute(statement, named(run_id))

    def kept(self, run_id: str) -> Kept | None:
        """Returns what resuming a run needs; None where there is no such run."""
        row: tuple[Any, ...] | None = self._connection.execute(sql.RUN, (run_id,)).fetchone()
        if row is None:
            return None
        *began, status = row
        (found,) = self._connection.execute(sql.MARKS, (run_id,)).fetchone()
        marks: list[list[str]] = json.loads(found)
        return Kept(RunBegan(*began), status, {key: Mark(ended, error) for key, ended, error in marks})

    def outputs(self, run_id: str, keys: Sequence[str]) -> dict[str, str]:
        """Returns the values of ops of a run by key, those that are there; `fetch[]` stands for all items."""
        wanted = [key for key in keys if not key.endswith("[]")]
        for key in keys:
            if key.endswith("[]"):
                found = self._connection.execute(sql.ITEMS, named(run_id, key[:-2])).fetchall()
                wanted.extend(items_of(key[:-2], [item for (item,) in found]))
        return dict(self._connection.execute(sql.OUTPUTS, named(run_id, json.dumps(wanted))).fetchall())

    def latest(self, graph: str, deployment: str, key: str) -> str | None:
        """Returns the newest run of a graph that has the value of an op, or of items of an `each`."""
        row: tuple[str] | None = self._connection.execute(sql.LATEST, named(graph, deployment, key)).fetchone()
        return None if row is None else row[0]

    def runs(self, chosen: RunFilter) -> list[RunRecord]:
        """Returns runs, newest first."""
        status = json.dumps([one.value for one in chosen.status])
        asked = named(
            chosen.deployment,
            chosen.graph,
            chosen.run_id,
            chosen.before,
            status,
            json.dumps(chosen.tags),
            chosen.limit,
        )
        return [_run_record(row) for row in self._connection.execute(sql.RUNS, asked).fetchall()]

    def ops(self, chosen: OpFilter) -> list[OpRecord]:
        """Returns ops of a run, in the order in which they ended."""
        status = json.dumps([one.value for one in chosen.status])
        asked = named(chosen.run_id, chosen.key, chosen.after, status, chosen.limit)
        return [_op_record(row) for row in self._connection.execute(sql.OPS, asked).fetchall()]

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()


def _run_record(row: tuple[Any, ...]) -> RunRecord:
    run_id, graph, deployment, status, tags, priority, queued, started, ended, attempts, error, reason, resumed = row
    return RunRecord(
        run_id,
        graph,
        deployment,
        RunStatus(status),
        tags=json.loads(tags),
        priority=priority,
        queued_at=moment(queued),
        started_at=None if started is None else moment(started),
        ended_at=None if ended is None else moment(ended),
        attempts=attempts,
        error=error,
        reason=reason,
        resumed_from=resumed,
    )


def _op_record(row: tuple[Any, ...]) -> OpRecord:
    run_id, key, status, attempts, started, ended, error, reason, kept = row
    begun = None if started is None else moment(started)
    return OpRecord(run_id, key, OpStatus(status), attempts, begun, moment(ended), error, reason, kept=bool(kept))
