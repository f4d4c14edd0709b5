"""Ctrl-C and SIGTERM: the first cancels and waits, the second leaves at once. In processes, with real signals."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

STUBBORN = """
import sys, time
import anyio
from asyncflow import Deployment, graph, op

paused = Deployment("paused", concurrency={"runs": {"max_concurrent_runs": 0}})

def say(word):
    sys.stderr.write(f"<{word}>\\n")
    sys.stderr.flush()

@op
async def polite():
    say("ready")
    try:
        await anyio.sleep_forever()
    finally:
        say("cleaned")

@op
async def shielded():
    say("ready")
    try:
        await anyio.sleep_forever()
    finally:
        say("cleaning")
        with anyio.CancelScope(shield=True):
            await anyio.sleep_forever()

@op
def threaded():
    say("ready")
    while True:
        time.sleep(0.01)

@op
async def blocking():
    say("ready")
    while True:
        time.sleep(0.01)

@op
async def quits():
    say("ready")
    try:
        await anyio.sleep_forever()
    except BaseException:
        return "a value after all"

@graph
def one():
    return polite()

@graph
def waiting():
    say("ready")
    return polite()
"""

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(folder: Path, environment: dict[str, str]) -> Generator[Start]:
    """Starts the command in a process of its own."""
    (folder / "stubborn.py").write_text(STUBBORN)
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "asyncflow", "run", *arguments], cwd=folder, env=environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def read_until(process: "subprocess.Popen[str]", word: str) -> None:
    """Reads what the process says on stderr until it says this word."""
    assert process.stderr is not None
    for line in process.stderr:
        if f"<{word}>" in line:
            return
    raise AssertionError(f"the process ended without saying {word}")


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code", "name"), [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 143, "SIGTERM")])
@pytest.mark.parametrize("target", ["stubborn:one", "stubborn:polite"])
def test_the_first_cancels_and_waits(start: Start, number: signal.Signals, code: int, name: str, target: str) -> None:
    """The op cleans up, the run is CANCELED by that name, and the exit code says by which signal."""
    process = start(target, "--json")
    read_until(process, "ready")
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    document = json.loads(out)
    assert (process.returncode, document["status"], document["reason"]) == (code, "CANCELED", name)
    assert err.index("<cleaned>") < err.index("CANCELED")
    assert "Traceback" not in err


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_second_leaves(start: Start, number: signal.Signals) -> None:
    """An op that does not end is named, and left behind."""
    process = start("stubborn:shielded")
    read_until(process, "ready")
    process.send_signal(signal.SIGINT)
    read_until(process, "cleaning")
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (128 + number, "")
    assert err.splitlines()[-1] == "abandoned: nothing was waited for; 1 running: shielded"


@pytest.mark.slow
@pytest.mark.parametrize("target", ["stubborn:threaded", "stubborn:blocking"])
def test_the_second_leaves_what_cannot_be_cancelled(start: Start, target: str) -> None:
    """A thread, or an op that blocks the loop, cannot be cancelled: twice ends the process all the same."""
    process = start(target)
    read_until(process, "ready")
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)  # another one, since two of one kind may be delivered as one
    process.communicate(timeout=30)
    assert process.returncode in {130, 143}


@pytest.mark.slow
def test_a_queued_run(start: Start) -> None:
    """A run that has not begun is taken out of the queue."""
    process = start("stubborn:waiting", "--deployment", "stubborn:paused")
    read_until(process, "ready")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "CANCELED" in err
    assert "<cleaned>" not in err


@pytest.mark.slow
def test_a_run_that_was_cancelled_stays_cancelled(start: Start) -> None:
    """An op that gives a value while it is cancelled does not make it a success; the exit code stays."""
    process = start("stubborn:quits", "--json")
    read_until(process, "ready")
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    document = json.loads(out)
    assert (process.returncode, document["status"]) == (130, "CANCELED")
