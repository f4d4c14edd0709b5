"""The file against the memory: whatever is written, both tell the same."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncflow import OpStatus, RunStatus
from asyncflow._store import OpEntry, OpFilter, RunBegan, RunFilter, RunOver, RunSession, statements, store_of
from asyncflow._store.entry import Entry
from asyncflow._store.sqlite import BIG, named

IDS = ["r1", "r2", "r3", 'it\'s "4"; --']
KEYS = ["a", "b[0]", "b[1]", "b[10]", "c/d", "b[é x]", "'; DROP TABLE ops; --"]
GRAPHS = ["crawl", "other"]


def began(run_id: str, graph: str, source: str | None) -> RunBegan:
    tags = json.dumps({"id": run_id, "g": graph})
    return RunBegan(run_id, graph, "prod", "{}", "s", "[]", "{}", tags, 0, 1.5, source)


def entries() -> st.SearchStrategy[list[Entry]]:
    """Histories as they come about: only runs that began have records, and what succeeded in one is not run again."""

    def built(steps: list[tuple[int, int, int, int, int]]) -> list[Entry]:
        found: list[Entry] = []
        makers: dict[str, str] = {}
        made: set[tuple[str, str]] = set()
        for number, (what, run, other, key, status) in enumerate(steps):
            run_id = IDS[run]
            if what == 0 or run_id not in makers:
                source = IDS[other] if IDS[other] in makers and what != 3 else None
                makers[run_id] = f"{run_id}@{number}"
                found.append(began(run_id, GRAPHS[key % 2], source))
            elif what == 1:
                found.append(RunOver(run_id, ("SUCCEEDED", "FAILED")[status % 2], 1, 2.0, 3.0 + number, "e", None))
            elif (makers[run_id], KEYS[key]) not in made:
                ended = ("SUCCEEDED", "FAILED", "SKIPPED", "SUCCEEDED")[status]
                text = json.dumps([f"{number}" * (BIG if status == 3 and key == 0 else 1)])
                output = text if ended == "SUCCEEDED" else None
                if output is not None:
                    made.add((makers[run_id], KEYS[key]))
                found.append(
                    OpEntry(run_id, KEYS[key], ended, 1, None, float(number), "", None, makers[run_id], output)
                )
        return found

    number = st.integers(0, 3)
    return st.lists(st.tuples(number, number, number, st.integers(0, 6), number), max_size=25).map(built)


def seen(session: RunSession) -> object:
    """Everything that a session tells."""
    told: list[object] = [
        session.runs(RunFilter()),
        session.runs(RunFilter(limit=2)),
        session.runs(RunFilter(before="r2", graph="crawl")),
        session.runs(RunFilter(status=(RunStatus.SUCCEEDED, RunStatus.RUNNING), deployment="prod")),
        session.runs(RunFilter(tags=(("id", "r1"), ("g", "crawl")))),
        session.runs(RunFilter(deployment="nobody")),
    ]
    for run_id in IDS:
        told.extend([
            session.kept(run_id),
            session.outputs(run_id, [*KEYS, "b[]", "nothing"]),
            session.ops(OpFilter(run_id)),
            session.ops(OpFilter(run_id, status=(OpStatus.REUSED, OpStatus.SKIPPED), limit=2)),
            session.ops(OpFilter(run_id, after="b[1]")),
            session.ops(OpFilter(run_id, key="a")),
        ])  # fmt: skip
    told.extend([session.latest(graph, "prod", key) for graph in GRAPHS for key in ("a", "b", "c/d", "x")])
    return told


@settings(max_examples=100, deadline=None)
@given(history=entries(), cuts=st.lists(st.integers(1, 8), max_size=6))
def test_the_file_tells_what_the_memory_tells(
    history: list[Entry], cuts: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Given any history, written in any batches: every question has the same answer from both."""
    memory = store_of("memory")
    file = store_of(f"sqlite:///{tmp_path_factory.mktemp('store') / 'runs.db'}")
    assert memory is not None
    assert file is not None
    one, other = memory.open(), file.open()
    try:
        left = list(history)
        for size in [*cuts, len(left)]:
            batch, left = left[:size], left[size:]
            one.write(batch)
            other.write(batch)
        assert seen(one) == seen(other)
    finally:
        other.close()


def test_a_batch_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    """Given an entry that cannot be written: nothing of its batch is, and the next batch is."""
    store = store_of(f"sqlite:///{tmp_path / 'runs.db'}")
    assert store is not None
    session = store.open()
    good = OpEntry("r1", "a", "SUCCEEDED", 1, None, 1.0, "", None, "m", "[1]")
    with pytest.raises(TypeError):
        session.write([began("r1", "g", None), good, OpEntry("r1", "b", "X", 1, None, 1.0, "", None, "m", b"")])  # type: ignore[arg-type]  # a test looks behind the scenes
    assert session.kept("r1") is None
    session.write([began("r1", "g", None), good])
    assert session.outputs("r1", ["a"]) == {"a": "[1]"}
    session.close()


@pytest.mark.parametrize("name", ["OUTPUTS", "ITEMS", "LATEST", "OPS", "TAKE_OVER", "MARKS"])
def test_no_question_looks_at_every_op_of_every_run(name: str) -> None:
    """Given any question about ops: SQLite answers it through an index, however full the file is."""
    connection = sqlite3.connect(":memory:")
    for statement in statements.CREATE:
        connection.execute(statement)
    text: str = getattr(statements, name)
    asked = named(*["[]"] * 9) if ":p1" in text else ("[]",) * text.count("?")
    plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {text}", asked)]
    connection.close()
    assert plan
    assert [step for step in plan if step.startswith(("SCAN ops", "SCAN outputs"))] == []
