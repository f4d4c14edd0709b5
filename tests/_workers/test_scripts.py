"""Worker processes of whole programs: the main module, Ctrl-C, a parent that dies."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests._workers.test_process_ops import gone

GUARDED = """
import asyncio, os, sys, time
from pathlib import Path
from asyncflow import each, graph, op

class Point:
    def __init__(self, x): self.x = x

@op(runs_in="process")
def work(point: Point) -> Point:
    return Point(2 * point.x)

@op(runs_in="process")
def long(path: str) -> None:
    Path(path).write_text(str(os.getpid()))
    time.sleep(60)

@graph
def flow() -> list[Point]:
    return each(work, [Point(1), Point(2)])

"""
START = """
print([point.x for point in asyncio.run(flow.run())])
"""
MAIN = "if __name__ == '__main__':\n    "


def program(tmp_path: Path, text: str) -> list[str]:
    """Writes a program, and returns the command that starts it."""
    file = tmp_path / "program.py"
    file.write_text(text)
    return [sys.executable, str(file)]


def test_functions_of_the_main_module(tmp_path: Path) -> None:
    """Given a program whose ops and classes stand in its main module, with the guard: it runs."""
    command = program(tmp_path, GUARDED + MAIN + START.strip())
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("[2, 4]\n", "")


def test_a_main_module_without_the_guard_is_told(tmp_path: Path) -> None:
    """Given no guard: no storm of processes, but an error that says what to write."""
    command = program(tmp_path, GUARDED + START)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "WorkerStartError" in done.stderr
    assert "if __name__ == '__main__':" in done.stderr


def test_an_interactive_session_is_told() -> None:
    """Given functions typed in where no file has them: refused with what to write."""
    done = subprocess.run(
        [sys.executable, "-c", GUARDED + START], capture_output=True, text=True, timeout=60, check=False
    )
    assert "this is an interactive session or `python -c`; write it to a file" in done.stderr


def test_the_program_of_the_how_to_page(tmp_path: Path) -> None:
    """Given the first block of docs/how-to/cpu-work.md in a file of its own: it prints what the page says."""
    page = (Path(__file__).resolve().parents[2] / "docs/how-to/cpu-work.md").read_text()
    block, rest = page.split("```python\n")[1].split("```", 1)
    done = subprocess.run(program(tmp_path, block), capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == (rest.split("```text\n")[1].split("```")[0], "")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_workers_end_with_their_parent(how: signal.Signals, tmp_path: Path) -> None:
    """Given a worker in the middle of a minute's work: when its parent is killed, or interrupted, it is gone too."""
    mark = tmp_path / "mark"
    text = GUARDED + MAIN + f"asyncio.run(long.run({str(mark)!r}))"
    with subprocess.Popen(program(tmp_path, text), stderr=subprocess.PIPE, text=True) as parent:
        pid = pid_in(mark)
        parent.send_signal(how)
        _, errors = parent.communicate(timeout=30)
    deadline = time.monotonic() + 30
    while not gone(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert gone(pid)
    if how == signal.SIGINT:
        assert errors.rstrip().endswith("KeyboardInterrupt")
        assert "_workers/child.py" not in errors


def pid_in(mark: Path) -> int:
    """Waits for a worker to say its number."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if mark.exists() and mark.read_text():
            return int(mark.read_text())
        time.sleep(0.01)
    raise TimeoutError(f"no worker came; in {mark.parent}")
