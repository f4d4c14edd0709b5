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
    WHERE (maker, key) IN (SELECT made_by, key FROM ops WHERE run_id = ?1 AND made_by IS NOT NULL)
        AND NOT EXISTS (SELECT 1 FROM ops WHERE run_id <> ?1 AND made_by = outputs.maker AND key = outputs.key)
    """,
    "DELETE FROM ops WHERE run_id = ?1",
    "DELETE FROM runs WHERE run_id = ?1",
)
GO_ON_AS_ITSELF: Final = (
    "DELETE FROM runs WHERE run_id = ?1",
    "DELETE FROM ops WHERE run_id = ?1 AND status NOT IN ('SUCCEEDED', 'REUSED', 'SKIPPED')",
    "UPDATE ops SET status = replace(status, 'SUCCEEDED', 'REUSED'), attempts = 0 WHERE run_id = ?1",
)
TAKE_OVER: Final = """
    INSERT INTO ops (run_id, key, status, attempts, started_at, ended_at, error, reason, made_by)
    SELECT ?1, key, CASE status WHEN 'SUCCEEDED' THEN 'REUSED' ELSE status END, 0, started_at, ended_at, error, reason,
        made_by
    FROM ops WHERE run_id = ?2 AND status IN ('SUCCEEDED', 'REUSED', 'SKIPPED') ORDER BY seq
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
    UPDATE runs SET status = ?2, attempts = ?3, started_at = ?4, ended_at = ?5, error = ?6, reason = ?7
    WHERE run_id = ?1
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
    FROM json_each(?2) AS wanted
    CROSS JOIN ops ON ops.run_id = ?1 AND ops.key = wanted.value
    CROSS JOIN outputs ON outputs.maker = ops.made_by AND outputs.key = ops.key
"""
ITEMS: Final = "SELECT key FROM ops WHERE run_id = ?1 AND key > ?2 || '[' AND key < ?2 || '\\' AND made_by IS NOT NULL"
LATEST: Final = """
    SELECT run_id FROM runs WHERE graph = ?1 AND deployment = ?2 AND EXISTS (
        SELECT 1 FROM ops WHERE ops.run_id = runs.run_id AND made_by IS NOT NULL
        AND (key = ?3 OR (key > ?3 || '[' AND key < ?3 || '\\')))
    ORDER BY seq DESC LIMIT 1
"""
RUNS: Final = """
    SELECT run_id, graph, deployment, status, tags, priority, queued_at, started_at, ended_at, attempts, error, reason,
        resumed_from
    FROM runs
    WHERE (?1 IS NULL OR deployment = ?1) AND (?2 IS NULL OR graph = ?2) AND (?3 IS NULL OR run_id = ?3)
        AND (?4 IS NULL OR seq < (SELECT seq FROM runs WHERE run_id = ?4))
        AND (?5 = '[]' OR status IN (SELECT value FROM json_each(?5)))
        AND NOT EXISTS (SELECT 1 FROM json_each(?6) AS asked WHERE NOT EXISTS (
            SELECT 1 FROM json_each(runs.tags) AS tag
            WHERE tag.key = json_extract(asked.value, '$[0]') AND tag.value = json_extract(asked.value, '$[1]')))
    ORDER BY seq DESC LIMIT ?7
"""
OPS: Final = """
    SELECT run_id, key, status, attempts, started_at, ended_at, error, reason, made_by IS NOT NULL
    FROM ops
    WHERE run_id = ?1 AND (?2 IS NULL OR key = ?2)
        AND (?3 IS NULL OR seq > (SELECT seq FROM ops WHERE run_id = ?1 AND key = ?3))
        AND (?4 = '[]' OR status IN (SELECT value FROM json_each(?4)))
    ORDER BY seq LIMIT ?5
"""
