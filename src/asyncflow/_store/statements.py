"""What is said to SQLite. Every value is a parameter; a batch of rows is one parameter, a JSON list.

A batch is one statement because each step of a statement gives the interpreter's lock away and asks for it again, which
takes up to five milliseconds while the event loop is busy: a thousand rows one by one would take five seconds.
"""

from __future__ import annotations

from typing import Final

APPLICATION: Final = 0x61666C77
VERSION: Final = 1
"""The version of the tables. A larger one in a file was written by a newer asyncflow."""

CREATE: Final = (
    """
    CREATE TABLE runs (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL UNIQUE, graph TEXT NOT NULL,
        deployment TEXT NOT NULL, target TEXT NOT NULL, shape TEXT NOT NULL, keys TEXT NOT NULL, inputs TEXT NOT NULL,
        tags TEXT NOT NULL, priority INTEGER NOT NULL, queued_at REAL NOT NULL, resumed_from TEXT,
        status TEXT NOT NULL, attempts INTEGER NOT NULL, started_at REAL, ended_at REAL, error TEXT NOT NULL,
        reason TEXT
    )
    """,
    """
    CREATE TABLE ops (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL, key TEXT NOT NULL, status TEXT NOT NULL,
        attempts INTEGER NOT NULL, started_at REAL, ended_at REAL NOT NULL, error TEXT NOT NULL, reason TEXT,
        made_by TEXT, UNIQUE (run_id, key)
    )
    """,
    "CREATE INDEX ops_made_by ON ops (made_by, key) WHERE made_by IS NOT NULL",
    "CREATE TABLE outputs (maker TEXT NOT NULL, key TEXT NOT NULL, data TEXT NOT NULL, PRIMARY KEY (maker, key))",
    "PRAGMA application_id = 1634102391",
    "PRAGMA user_version = 1",
)

BEGIN_RUN: Final = """
    INSERT INTO runs (run_id, graph, deployment, target, shape, keys, inputs, tags, priority, queued_at, resumed_from,
        status, attempts, error)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'RUNNING', 1, '')
"""
FORGET_RUN: Final = (
    """
    DELETE FROM outputs
    WHERE (maker, key) IN (SELECT made_by, key FROM ops WHERE run_id = :p1 AND made_by IS NOT NULL)
        AND NOT EXISTS (SELECT 1 FROM ops WHERE run_id <> :p1 AND made_by = outputs.maker AND key = outputs.key)
    """,
    "DELETE FROM ops WHERE run_id = :p1",
    "DELETE FROM runs WHERE run_id = :p1",
)
GO_ON_AS_ITSELF: Final = (
    "DELETE FROM runs WHERE run_id = :p1",
    "DELETE FROM ops WHERE run_id = :p1 AND status NOT IN ('SUCCEEDED', 'REUSED', 'SKIPPED')",
    "UPDATE ops SET status = replace(status, 'SUCCEEDED', 'REUSED'), attempts = 0 WHERE run_id = :p1",
)
TAKE_OVER: Final = """
    INSERT INTO ops (run_id, key, status, attempts, started_at, ended_at, error, reason, made_by)
    SELECT :p1, key, CASE status WHEN 'SUCCEEDED' THEN 'REUSED' ELSE status END, 0, started_at, ended_at, error, reason,
        made_by
    FROM ops WHERE run_id = :p2 AND status IN ('SUCCEEDED', 'REUSED', 'SKIPPED') ORDER BY seq
"""
END_OPS: Final = """
    INSERT OR REPLACE INTO ops (run_id, key, status, attempts, started_at, ended_at, error, reason, made_by)
    SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'),
        json_extract(value, '$[3]'), json_extract(value, '$[4]'), json_extract(value, '$[5]'),
        json_extract(value, '$[6]'), json_extract(value, '$[7]'), json_extract(value, '$[8]')
    FROM json_each(?) ORDER BY json_each.key
"""
KEEP: Final = """
    INSERT OR REPLACE INTO outputs (maker, key, data)
    SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]') FROM json_each(?)
"""
KEEP_ONE: Final = "INSERT OR REPLACE INTO outputs (maker, key, data) VALUES (?, ?, ?)"
END_RUN: Final = """
    UPDATE runs SET status = :p2, attempts = :p3, started_at = :p4, ended_at = :p5, error = :p6, reason = :p7
    WHERE run_id = :p1
"""
OLD_RUNS: Final = "SELECT run_id FROM runs WHERE ended_at < ? ORDER BY seq LIMIT 100"

RUN: Final = """
    SELECT run_id, graph, deployment, target, shape, keys, inputs, tags, priority, queued_at, resumed_from, status
    FROM runs WHERE run_id = ?
"""
MARKS: Final = "SELECT json_group_array(json_array(key, status, error)) FROM ops WHERE run_id = ?"
# CROSS JOIN keeps the order of the tables; SQLite knows nothing of the list, and would scan the run for every value.
OUTPUTS: Final = """
    SELECT ops.key, outputs.data
    FROM json_each(:p2) AS wanted
    CROSS JOIN ops ON ops.run_id = :p1 AND ops.key = wanted.value
    CROSS JOIN outputs ON outputs.maker = ops.made_by AND outputs.key = ops.key
"""
ITEMS: Final = """
    SELECT key FROM ops WHERE run_id = :p1 AND key > :p2 || '[' AND key < :p2 || '\\' AND made_by IS NOT NULL
"""
LATEST: Final = """
    SELECT run_id FROM runs WHERE graph = :p1 AND deployment = :p2 AND EXISTS (
        SELECT 1 FROM ops WHERE ops.run_id = runs.run_id AND made_by IS NOT NULL
        AND (key = :p3 OR (key > :p3 || '[' AND key < :p3 || '\\')))
    ORDER BY seq DESC LIMIT 1
"""
RUNS: Final = """
    SELECT run_id, graph, deployment, status, tags, priority, queued_at, started_at, ended_at, attempts, error, reason,
        resumed_from
    FROM runs
    WHERE (:p1 IS NULL OR deployment = :p1) AND (:p2 IS NULL OR graph = :p2) AND (:p3 IS NULL OR run_id = :p3)
        AND (:p4 IS NULL OR seq < (SELECT seq FROM runs WHERE run_id = :p4))
        AND (:p5 = '[]' OR status IN (SELECT value FROM json_each(:p5)))
        AND NOT EXISTS (SELECT 1 FROM json_each(:p6) AS asked WHERE NOT EXISTS (
            SELECT 1 FROM json_each(runs.tags) AS tag
            WHERE tag.key = json_extract(asked.value, '$[0]') AND tag.value = json_extract(asked.value, '$[1]')))
    ORDER BY seq DESC LIMIT :p7
"""
OPS: Final = """
    SELECT run_id, key, status, attempts, started_at, ended_at, error, reason, made_by IS NOT NULL
    FROM ops
    WHERE run_id = :p1 AND (:p2 IS NULL OR key = :p2)
        AND (:p3 IS NULL OR seq > (SELECT seq FROM ops WHERE run_id = :p1 AND key = :p3))
        AND (:p4 = '[]' OR status IN (SELECT value FROM json_each(:p4)))
    ORDER BY seq LIMIT :p5
"""
