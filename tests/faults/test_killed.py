"""A process is killed in the middle of a job; a second one goes on from the store.

Of the rows of RELIABILITY.md that concern stores, 31, 32, 81 and 82 are in `tests/_executor/test_kept_runs.py`, 84 and
85 there too (files that are newer or damaged), 14 and 49 with streams. Row 28 (tasks that an op leaves behind) has
nothing to do with what is kept: a record is made when the op has ended.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from asyncflow import Deployment, OpStatus, RunStatus
from asyncflow.testing import run_virtual

ROOT = Path(__file__).parents[2]
LIMIT = 150
PATIENCE = 60.0
"""Real seconds that a job is given to get as far as it is to be killed."""


def command(out: Path, store: str, *more: str) -> list[str]:
    """The job of the example, with a store."""
    return [
        sys.executable, "-W", "error", "-m", "examples.stdlib_index", "--limit", str(LIMIT), "--plain",
        "--out", str(out), "--store", store, *more,
    ]  # fmt: skip


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}


def records(path: Path) -> list[tuple[str, str, str, float]]:
    """What a file has of all runs, in the order in which it was written: run, key, status, end."""
    if not path.exists():
        return []
    connection = sqlite3.connect(path, timeout=30)
    try:
        return connection.execute("SELECT run_id, key, status, ended_at FROM ops ORDER BY seq").fetchall()
    except sqlite3.OperationalError:  # the tables are not there yet
        return []
    finally:
        connection.close()


def killed_after(count: int, path: Path, arguments: list[str], run_id: str) -> int:
    """Starts a job, kills it when so many of its ops have records, and returns how it ended."""
    process = subprocess.Popen(
        arguments, cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    until = time.monotonic() + PATIENCE
    try:
        while process.poll() is None and time.monotonic() < until:
            made = [one for one in records(path) if one[0] == run_id and one[2] != "REUSED"]
            if len(made) >= count:
                process.send_signal(signal.SIGKILL)
                break
        process.wait(PATIENCE)
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()
    return process.returncode


def done(path: Path, run_id: str) -> set[str]:
    """The keys of a run whose success is in the file."""
    return {key for run, key, status, _ in records(path) if run == run_id and status in ("SUCCEEDED", "REUSED")}


@pytest.mark.slow
def test_a_killed_job_is_finished_by_a_second_start(tmp_path: Path, seed: int) -> None:
    """Given the index of the standard library, killed twice at random moments by SIGKILL: the third start finishes.

    What had a record does not run again, records are in the order of the ends, and the result is that of a whole run.
    """
    rng = random.Random(seed)
    path, out = tmp_path / "runs.db", tmp_path / "out"
    store = f"sqlite:///{path}"
    whole = tmp_path / "whole"
    subprocess.run(
        command(whole, f"sqlite:///{tmp_path / 'whole.db'}"),
        cwd=ROOT,
        env=environment(),
        check=True,
        capture_output=True,
    )

    first = killed_after(rng.randint(1, 250), path, command(out, store, "--run-id", "one"), "one")
    after_one = done(path, "one")
    second_arguments = command(out, store, "--run-id", "two", "--resume-from", "one")
    second = killed_after(rng.randint(1, 150), path, second_arguments, "two")
    after_two = done(path, "two")
    assert first == second == -signal.SIGKILL
    assert after_one
    assert after_one <= after_two
    last = subprocess.run(
        command(out, store, "--run-id", "three", "--resume-from", "two"),
        cwd=ROOT, env=environment(), check=True, capture_output=True, text=True,
    )  # fmt: skip

    by_run: dict[str, dict[str, str]] = {}
    for run, key, status, _ in records(path):
        by_run.setdefault(run, {})[key] = status
    assert {key for key in after_one if by_run["two"].get(key) != "REUSED"} == set()
    assert {key for key in after_two if by_run["three"].get(key) != "REUSED"} == set()
    for run in by_run:
        ends = [end for one, _, status, end in records(path) if one == run and status not in ("REUSED", "ABANDONED")]
        assert ends == sorted(ends)
    assert "source files" in last.stdout
    for name in ("report.json", "most-imported.svg"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()
    assert json.loads((out / "report.json").read_text())["totals"]["modules"] == LIMIT

    async def look() -> None:
        prod = Deployment("stdlib-index", store=store)
        runs = {run.run_id: run for run in await prod.runs()}
        assert [runs[name].status for name in ("one", "two", "three")] == [
            RunStatus.RUNNING, RunStatus.RUNNING, RunStatus.SUCCEEDED,
        ]  # fmt: skip
        assert runs["three"].resumed_from == "two"
        assert not await prod.ops("three", status=[OpStatus.CANCELED, OpStatus.ABANDONED])

    run_virtual(look)
