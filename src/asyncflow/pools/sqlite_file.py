"""A SQLite file of rows: one transaction is a look at what others changed, the rules, and a write of what they changed.

Every row carries the number of the transaction that wrote it last. A process keeps its namespaces' rows in memory and
reads those with a later number only, so an exchange is four statements whatever waits; few statements also because each
of them gives the interpreter's lock away. Rows that are gone stay as empty ones until there are many, and are then
removed for good; whoever has not seen them reads everything anew.

Time is that of the machine since it was started, sleep included, set off by the time of day at which the file was made:
nobody can turn it back. The file names the start of the machine it was last used in; after another start no session of
it can live.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from asyncflow.errors import BackendCorrupt, BadRequest, PoolBackendUnavailable, SchemaMismatch
from asyncflow.pools.exchange import reap
from asyncflow.pools.journal import JournaledRows
from asyncflow.pools.protocol import SCHEMA_VERSION

T = TypeVar("T")

APPLICATION: Final = 0x61667071

CREATE: Final = f"""
    CREATE TABLE machine (
        id INTEGER PRIMARY KEY CHECK (id = 1), boot TEXT NOT NULL, offset INTEGER NOT NULL, moment INTEGER NOT NULL
    );
    CREATE TABLE namespaces (
        namespace TEXT PRIMARY KEY, version INTEGER NOT NULL, floor INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE rows (
        namespace TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, data TEXT,
        PRIMARY KEY (namespace, kind, name)
    ) WITHOUT ROWID;
    CREATE INDEX rows_by_version ON rows (namespace, version);
    PRAGMA application_id = {APPLICATION};
    PRAGMA user_version = {SCHEMA_VERSION}
""".split(";")
LOOK: Final = "SELECT version, floor FROM namespaces WHERE namespace = ?"
NEWS: Final = "SELECT json_group_array(json_array(kind, name, data)) FROM rows WHERE namespace = ? AND version > ?"
WRITE: Final = """
    INSERT INTO rows (namespace, kind, name, version, data)
    SELECT ?1, json_extract(value, '$[0]'), json_extract(value, '$[1]'), ?2, json_extract(value, '$[2]')
    FROM json_each(?3) WHERE true
    ON CONFLICT (namespace, kind, name) DO UPDATE SET version = excluded.version, data = excluded.data
"""
STAMP: Final = """
    INSERT INTO namespaces (namespace, version, floor) VALUES (?1, ?2, ?3)
    ON CONFLICT (namespace) DO UPDATE SET version = ?2, floor = ?3
"""
SWEEP: Final = "DELETE FROM rows WHERE namespace = ? AND data IS NULL"
MANY: Final = 2000
"""After so many transactions, rows that are gone are removed."""

REMOTE: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "fuse.sshfs", "glusterfs"})


class PoolFile:
    """A connection to the file, and what it has read. Used by one thread.

    Args:
        path: The file.
        busy: Seconds to wait where another process is writing.
    """

    def __init__(self, path: Path, *, busy: float) -> None:
        self.path = path
        self._connection = connection = sqlite3.connect(
            path, timeout=busy, isolation_level=None, check_same_thread=False
        )
        try:
            _log_ahead(connection, path, busy)
            connection.execute("PRAGMA synchronous = NORMAL")
            self._prepare()
        except BaseException:
            connection.close()
            raise
        status = path.stat()
        self.identity = (status.st_dev, status.st_ino)
        self._seen: dict[str, tuple[int, JournaledRows]] = {}
        self._boot = boot_id()

    def _prepare(self) -> None:
        """Makes the tables where there are none.

        Raises:
            SchemaMismatch: where there are others.
        """
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        try:
            (version,) = execute("PRAGMA user_version").fetchone()
            (application,) = execute("PRAGMA application_id").fetchone()
            names = {name for (name,) in execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
            if not names and not version:
                for statement in CREATE:
                    execute(statement)
                now = time.time_ns() // 1000
                execute("INSERT INTO machine VALUES (1, ?, ?, ?)", (boot_id(), now - uptime(), now))
                application, version, names = APPLICATION, SCHEMA_VERSION, {"machine", "namespaces", "rows"}
            execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise
        if application != APPLICATION:
            raise SchemaMismatch(f"{self.path} is a database of something else; give the pools a file of their own")
        if version != SCHEMA_VERSION:
            raise SchemaMismatch(
                f"{self.path} has pools of version {version}, and this asyncflow writes {SCHEMA_VERSION}: upgrade the"
                " older of the programs that share it, or give this one a file of its own"
            )
        if not names >= {"machine", "namespaces", "rows"}:
            raise SchemaMismatch(
                f"{self.path} lacks tables of pools: it is damaged; move it away, and a new one is made"
            )

    def transact(self, namespace: str, work: Callable[[JournaledRows, int], T]) -> T:
        """Lets `work` read and change a namespace's rows at a moment; all it changed is written, or nothing."""
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        try:
            now = self._now()
            version, floor, rows = self._up_to_date(namespace)
            done = work(rows, now)
            changes = rows.take_changes()
            if changes:
                version += 1
                if version - floor > MANY:
                    execute(SWEEP, (namespace,))
                    floor = version
                execute(WRITE, (namespace, version, json.dumps(changes, ensure_ascii=False)))
                execute(STAMP, (namespace, version, floor))
                execute("UPDATE machine SET moment = ?", (now,))
            execute("COMMIT")
        except BaseException:
            self._seen.pop(namespace, None)
            self._roll_back()
            raise
        self._seen[namespace] = (version, rows)
        return done

    def read(self, namespace: str, work: Callable[[JournaledRows, int], T]) -> T:
        """Lets `work` read a namespace's rows as they are; what it changes is forgotten."""
        execute = self._connection.execute
        execute("BEGIN")
        try:
            version, _, rows = self._up_to_date(namespace)
            now = self._now(begin=False)
            self._seen[namespace] = (version, rows)
        finally:
            self._roll_back()
        return work(rows, now)

    def close(self) -> None:
        """Closes the connection."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()

    def _up_to_date(self, namespace: str) -> tuple[int, int, JournaledRows]:
        """Returns the number of the last transaction, the floor, and the rows as of it."""
        execute = self._connection.execute
        version, floor = execute(LOOK, (namespace,)).fetchone() or (0, 0)
        seen, rows = self._seen.pop(namespace, (0, JournaledRows()))
        if seen > version or seen < floor:
            seen, rows = 0, JournaledRows()
        if seen < version:
            for kind, name, data in json.loads(execute(NEWS, (namespace, seen)).fetchone()[0]):
                try:
                    rows.learn(kind, name, data)
                except (ValueError, TypeError, KeyError, BadRequest) as error:
                    raise BackendCorrupt(
                        f"{self.path}: the {kind} {name!r:.80} of namespace {namespace!r:.80} cannot be read"
                        f" ({type(error).__name__}: {error!s:.120}); delete that row from the table `rows`, or move the"
                        " file away"
                    ) from None
        return version, floor, rows

    def _now(self, *, begin: bool = True) -> int:
        """Returns the moment; at the first look after a start of the machine, voids what was before it."""
        boot, offset, moment = self._connection.execute("SELECT boot, offset, moment FROM machine").fetchone()
        if boot == self._boot or not begin:
            return int(offset) + uptime()
        now = max(time.time_ns() // 1000, int(moment) + 1)
        offset = now - uptime()
        self._connection.execute("UPDATE machine SET boot = ?, offset = ?, moment = ?", (self._boot, offset, now))
        for (namespace,) in self._connection.execute("SELECT namespace FROM namespaces").fetchall():
            version, floor, rows = self._up_to_date(namespace)
            reap(rows, 2**62)
            self._connection.execute(WRITE, (namespace, version + 1, json.dumps(rows.take_changes())))
            self._connection.execute(STAMP, (namespace, version + 1, floor))
        return now

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")


def _log_ahead(connection: sqlite3.Connection, path: Path, busy: float) -> None:
    """Switches to the write-ahead log. Where two processes do that at once, SQLite lets one fail without waiting."""
    until = time.monotonic() + busy
    while True:
        try:
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            break
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname != "SQLITE_BUSY" or time.monotonic() > until:
                raise
            time.sleep(0.005)
    if mode != "wal":
        raise BadRequest(f"{path} lies where SQLite cannot use its write-ahead log ({mode}); choose a local disk")


def make_file(path: Path) -> None:
    """Makes the file for its owner alone, where it is missing.

    Raises:
        BadRequest: The place is one where others could exchange it, or that several machines share.
    """
    try:
        folder = path.parent.stat()
        if folder.st_mode & stat.S_IWOTH and not folder.st_mode & stat.S_ISVTX:
            raise BadRequest(
                f"everybody may write in {path.parent}, and so exchange {path.name}; choose another folder"
            )
        if path.is_symlink():
            raise BadRequest(f"{path} is a symbolic link; name the file itself")
        kind = _file_system(path.parent.resolve())
        if kind in REMOTE:
            raise BadRequest(
                f"{path} lies on a network file system ({kind}), where processes of several machines would not see each"
                " other's locks; choose a local disk, or a PostgreSQL or Redis server"
            )
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except OSError as error:
        raise BadRequest(f"{path} cannot be made: {error.strerror}") from None


def named(error: sqlite3.Error, path: Path) -> Exception:
    """Returns what an error of SQLite means to a caller."""
    name = getattr(error, "sqlite_errorname", "") or type(error).__name__
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return BackendCorrupt(f"{path} is damaged, or no SQLite file ({error}); move it away, and a new one is made")
    if name.startswith(("SQLITE_READONLY", "SQLITE_PERM", "SQLITE_AUTH")):
        return BadRequest(f"{path} cannot be written ({error}); check who owns it and how its disk is mounted")
    if "no such table" in str(error) or "no such column" in str(error):
        return SchemaMismatch(f"{path} lacks tables of pools ({error}): move it away, and a new one is made")
    return PoolBackendUnavailable(f"{path}: {error} ({name})")


def boot_id() -> str:
    """Returns what names this start of the machine, or an empty text where the system does not tell."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return ""


def uptime() -> int:
    """Returns microseconds since the machine was started, sleep included where the system counts that."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return (time.monotonic_ns() if clock is None else time.clock_gettime_ns(clock)) // 1000


def _file_system(folder: Path) -> str:
    """Returns the kind of file system of a folder, or an empty text where it cannot be told."""
    best, kind = "", ""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines():
            _, mount, this, *_ = line.split(" ")
            if len(mount) > len(best) and folder.is_relative_to(mount):
                best, kind = mount, this
    return kind
