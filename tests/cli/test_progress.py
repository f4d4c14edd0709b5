"""Progress: what is counted, in place on a terminal, in lines elsewhere."""

import io
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console

from asyncflow import apply, each, graph, op
from asyncflow.cli.lines import Lines, line
from asyncflow.cli.live import InPlace, chosen, clock
from asyncflow.cli.tally import Tally
from asyncflow.events import (
    Event,
    NeverFits,
    OpBlocked,
    OpEnded,
    OpStarted,
    PoolUnlimited,
    RunBlocked,
    RunQueued,
    RunStarted,
    StuckOp,
)
from asyncflow.results import OpStatus


@op
async def source(n: int) -> list[int]:
    return list(range(n))


@op
async def work(x: int) -> int:
    return x


@op
async def total(xs: list[int]) -> int:
    return sum(xs)


@graph
def pair(x: int) -> int:
    return work(work(x))


@graph
def mapped(n: int) -> int:
    first = each(work, source(n))
    return total(each(pair, first))


@graph
def wired(n: int) -> int:
    return apply(sum, each(work, list(range(n))))


def started(*keys: str) -> Iterator[Event]:
    for key in keys:
        yield OpStarted(0.0, "r", "g", key)


def ended(*keys: str, status: OpStatus = OpStatus.SUCCEEDED) -> Iterator[Event]:
    for key in keys:
        yield OpEnded(0.0, "r", "g", key, status)


def blocked(*keys: str, limit: str = "db") -> Iterator[Event]:
    for key in keys:
        yield OpBlocked(0.0, "r", "g", key, (limit,))


def told(tally: Tally, *parts: Iterator[Event]) -> Tally:
    for events in parts:
        for event in events:
            tally.take(event)
    return tally


# ── what is counted ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_was_wired_is_known() -> None:
    """Items of a real list are counted before anything happens, one name for all."""
    tally = Tally.of(wired.plan(5))
    assert (dict(tally.totals()), tally.grows) == ({"work": 5}, False)


def test_a_chain_of_maps_grows_together() -> None:
    """The items of one stage are those of the next; what stands there twice for each item counts twice."""
    tally = Tally.of(mapped.plan(3))
    assert tally.grows
    told(tally, started("source"), ended("source"), started("work[0]"), blocked("work[1]", "work[2]"))
    assert dict(tally.totals()) == {"source": 1, "work": 3, "pair/work": 6, "total": 1}
    assert (tally.ended, tally.grows, tally.short_of()) == (1, False, [("db", 2)])


def test_an_op_is_counted_once() -> None:
    """Blocked twice, started, ended: seen once. One that is started again after it ended counts as running again."""
    tally = told(Tally("g"), blocked("a"), blocked("a", limit="api"), started("a"))
    group = tally.groups["a"]
    assert (group.seen, group.running, tally.blocked) == (1, 1, {})
    told(tally, ended("a", status=OpStatus.FAILED))
    assert (group.running, group.ended, group.failed, tally.failures) == (0, 1, 1, ["a"])


def test_children_come_behind() -> None:
    """Ops that an op runs are counted by name too, whatever their numbers."""
    tally = told(Tally.of(wired.plan(1)), started("work[0]/child", "work[0]/child#2", "work[0]/child#3"))
    assert (list(tally.groups), tally.groups["work/child"].seen) == (["work", "work/child"], 3)


def test_a_tally_stays_small() -> None:
    """A hundred thousand items leave nothing behind but numbers, and the keys of the first failures."""
    tally = Tally("g")
    for i in range(100_000):
        key = (f"work[{i}]",)
        told(tally, blocked(*key), started(*key), ended(*key, status=OpStatus.FAILED))
    assert (len(tally.groups), len(tally.running), len(tally.blocked), len(tally.failures)) == (1, 0, 0, 100)
    assert tally.failed == 100_000


def test_what_should_be_looked_at() -> None:
    """A pool without a limit, an op that outlives its cancellation, one that never fits: each said once."""
    tally = Tally("job")
    for _ in range(2):
        tally.take(PoolUnlimited(0.0, "web", "pool 'web' has no limit"))
        tally.take(StuckOp(0.0, "r", "g", "a", 5.0, ()))
        tally.take(NeverFits(0.0, "r", "g", "", "db"))
    assert tally.notices == [
        "pool 'web' has no limit",
        "a was cancelled 5 s ago and still runs",
        "job asks for more than db can ever give, and waits",
    ]
    stream = io.StringIO()
    lines = Lines(Console(file=stream, width=200))
    lines.show(tally, 2.0)
    lines.show(tally, 4.0)
    lines.close(tally, 5.0)
    assert stream.getvalue().count("note: ") == 3
    assert "   note: pool 'web' has no limit" in screen(tally, over=True)


# ── lines ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_line() -> None:
    """How much, what runs, what is blocked by what, what failed."""
    tally = told(Tally.of(wired.plan(9)), started("work[0]", "work[1]"), blocked("work[2]"))
    told(tally, ended("work[0]", status=OpStatus.FAILED))
    assert line(tally) == "wired: 1 of 9 ops, 1 running, 1 blocked (db), 1 failed"


def test_a_queued_run() -> None:
    """What a queued run waits for."""
    tally = Tally("g")
    tally.take(RunQueued(0.0, "r", "g", 0))
    tally.take(RunBlocked(0.0, "r", "g", ("@max_concurrent_runs",)))
    assert line(tally) == "g is queued for @max_concurrent_runs"
    tally.take(RunStarted(0.0, "r", "g"))
    assert line(tally).startswith("g: 0 of 0 ops")


def test_lines_tell_each_failure_once_and_become_rarer() -> None:
    """Failures come before the line in which they are counted."""
    stream = io.StringIO()
    lines = Lines(Console(file=stream, width=200))
    tally = told(Tally("g"), started("a", "b"), ended("a", status=OpStatus.FAILED))
    lines.show(tally, 2.0)
    lines.show(tally, 4.0)
    assert stream.getvalue().splitlines() == [
        "    2.0 s  failed: a",
        "    2.0 s  g: 1 of 2 ops, 1 running, 1 failed",
        "    4.0 s  g: 1 of 2 ops, 1 running, 1 failed",
    ]
    assert [lines.pause(seconds) for seconds in (0.0, 29.9, 30.0, 599.0, 600.0)] == [2.0, 2.0, 10.0, 10.0, 60.0]


# ── in place ────────────────────────────────────────────────────────────────────────────────────────────────────────


def screen(tally: Tally, *, height: int = 24, width: int = 80, over: bool = False) -> list[str]:
    """Returns the lines that are drawn last."""
    stream = io.StringIO()
    console = Console(file=stream, width=width, height=height, force_terminal=True, color_system=None)
    view = InPlace(console)
    view.show(tally, 3.21)
    if over:
        view.close(tally, 3.21)
    else:
        view._live.stop()
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "\r", stream.getvalue())
    drawn = [part for part in re.split(r"[\r\n]+", text) if part.strip()]
    last = max(i for i, part in enumerate(drawn) if f"{tally.graph} 3.2 s" in part)
    return [part.rstrip() for part in drawn[last:]]


def test_a_screen() -> None:
    """A head line, a row for each name with its bar, counts and state, and what is waited for."""
    tally = told(Tally.of(mapped.plan(4)), started("source"), ended("source"), started("work[0]", "work[1]"))
    told(tally, blocked("work[2]", "work[3]"), ended("work[0]", status=OpStatus.FAILED))
    head, *rows, foot = screen(tally)
    assert "mapped 3.2 s 2 of 14 ops" in head
    assert [row.split()[:2] for row in rows] == [["✔", "source"], ["✘", "work"], ["○", "pair/work"], ["○", "total"]]
    assert rows[1].endswith("1/4 1 running  2 blocked  1 failed")
    assert foot == "   waiting for db 2"


def test_a_low_screen_shows_what_runs() -> None:
    """Rows that do not fit are counted; those that run come first."""
    tally = told(Tally("g"), started(*[f"op{i}" for i in range(30)]), ended(*[f"op{i}" for i in range(29)]))
    lines = screen(tally, height=9)
    assert [part.split()[1] for part in lines[1:4]] == ["op0", "op1", "op29"]
    assert lines[4] == "   and 27 more"
    assert len(chosen(tally, most=50)) == 30


def test_the_last_screen() -> None:
    """Nothing turns, nothing is waited for any more, and what did not run is marked."""
    tally = told(Tally.of(wired.plan(2)), started("work[0]"), blocked("work[1]"))
    told(tally, ended("work[0]", status=OpStatus.CANCELED))
    lines = screen(tally, over=True)
    assert [part.split()[:2] for part in lines[1:]] == [["■", "work"]]


def test_names_cannot_command_the_terminal() -> None:
    """An item's name comes from data: an escape in it is drawn as a replacement."""
    tally = told(Tally("g"), started("a\x1b[2J/b"), blocked("c", limit="\x1b]0;owned\x07"))
    assert "a\ufffd[2J/b" in "".join(screen(tally))
    assert "owned" in "".join(screen(tally))
    assert "\x1b" not in line(tally)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (59.94, "59.9 s"), (60, "1:00"), (3599, "59:59"), (7384, "2:03:04")]
)
def test_clock(seconds: float, text: str) -> None:
    """Spans of time as people read them."""
    assert clock(seconds) == text


# ── a real terminal ─────────────────────────────────────────────────────────────────────────────────────────────────

SLOW = """
import anyio
from asyncflow import each, graph, op

@op
async def nap(n: int) -> int:
    if n == 2:
        print("printed by an op")
    await anyio.sleep(0.1)
    return n

@graph(max_concurrent=2)
def naps(n: int) -> list[int]:
    return each(nap, list(range(n)))
"""

OnTerminal = Callable[..., str]


@pytest.fixture
def on_terminal(folder: Path, environment: dict[str, str]) -> OnTerminal:
    """Runs the command on a terminal of its own and returns everything that was written to it."""
    (folder / "slow.py").write_text(SLOW)

    def run(*arguments: str, **more: str) -> str:
        master, slave = pty.openpty()
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", "asyncflow", *arguments], cwd=folder, env={**environment, **more},
                stdin=slave, stdout=slave, stderr=slave, close_fds=True,
            )  # fmt: skip
            os.close(slave)
            written = b""
            while True:
                try:
                    part = os.read(master, 65536)
                except OSError:  # how Linux says that nobody has it open any more
                    break
                if not part:
                    break
                written += part
            assert process.wait(timeout=30) == 0
        finally:
            os.close(master)
        return written.decode()

    return run


@pytest.mark.slow
def test_in_place_on_a_terminal(on_terminal: OnTerminal) -> None:
    """Colours, rows that are drawn over, what ops print above them, the cursor given back, the result last."""
    written = on_terminal("run", "slow:naps", "-i", "n=8")
    assert written.count("\x1b[?25l") == written.count("\x1b[?25h") == 1
    assert written.count("nap") > 3
    assert written.count("printed by an op") == 1
    assert "8/8" in written
    assert written.rstrip().endswith("[0, 1, 2, 3, 4, 5, 6, 7]")
    assert re.search(r"\x1b\[[0-9;]*m", written)


@pytest.mark.slow
@pytest.mark.parametrize("variable", [{"NO_COLOR": "1"}, {"CI": "true"}, {"TERM": "dumb"}])
def test_plain_where_it_is_asked_for(on_terminal: OnTerminal, variable: dict[str, str]) -> None:
    """NO_COLOR, CI or a dumb terminal: nothing is drawn over, and the cursor stays."""
    written = on_terminal("run", "slow:naps", "-i", "n=3", **variable)
    assert "\x1b[?25l" not in written
    assert "\x1b[2K" not in written
    assert "SUCCEEDED" in written
    if "NO_COLOR" in variable or "TERM" in variable:
        assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", written)


@pytest.mark.slow
def test_progress_can_be_turned_off(on_terminal: OnTerminal) -> None:
    """`--progress off` leaves the result alone on the terminal."""
    written = on_terminal("run", "slow:naps", "-i", "n=3", "--progress", "off")
    assert written.split() == ["printed", "by", "an", "op", "[0,", "1,", "2]"]
