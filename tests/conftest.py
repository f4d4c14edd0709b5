"""What every test runs under: one kind of loop, known seeds, and nothing left behind.

A test fails when it leaves a thread, a task or an open file, or when it sleeps on the loop's thread. `--loop` runs all
async tests on another flavour of loop (asyncio, debug, eager, uvloop); those that ask for `virtual_time` stay there.

ASYNCFLOW_SEED replays: it seeds the fixture `seed`, the order of tasks in virtual time, and pytest-randomly, whose seed
is printed at the end of every session.
"""

from __future__ import annotations

import asyncio
import gc
import multiprocessing.resource_tracker
import os
import random
import signal
import sys
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import anyio
import hypothesis
import pytest

hypothesis.settings.register_profile("project", deadline=None, print_blob=True)
hypothesis.settings.load_profile("project")

LINGER = 2.0
"""Real seconds that a thread which is ending is given to end."""

OPEN_FILES = Path("/proc/self/fd")
LOOPS = ("asyncio", "debug", "eager", "uvloop")


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as shells start what runs in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)  # for the tests of Ctrl-C, and the processes they start


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds `--loop`."""
    parser.addoption("--loop", choices=LOOPS, default="asyncio", help="the loop of every async test")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Lets ASYNCFLOW_SEED seed pytest-randomly too."""
    seed = os.environ.get("ASYNCFLOW_SEED")
    if seed and getattr(config.option, "randomly_seed", None) == "default":
        config.option.randomly_seed = int(seed)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Prints the seed of the session; `-q` hides the header that has it."""
    seed = config.stash.get(SESSION_SEED, None)
    if seed is not None:
        terminalreporter.write_line(f"seed of this session: ASYNCFLOW_SEED={seed}")


SESSION_SEED = pytest.StashKey[int]()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Chooses the seed of the session."""
    config = session.config
    chosen = os.environ.get("ASYNCFLOW_SEED") or getattr(config.option, "randomly_seed", None)
    try:
        config.stash[SESSION_SEED] = int(chosen or "none given")
    except ValueError:  # without pytest-randomly, or with `-p no:randomly`
        config.stash[SESSION_SEED] = random.SystemRandom().randrange(2**32)
    # What keeps a pipe open for ever, from the first need on, is needed now.
    multiprocessing.resource_tracker.ensure_running()
    if config.getoption("--loop") == "uvloop":
        anyio.run(anyio.sleep, 0, backend_options={"use_uvloop": True})


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """A number to seed a test's randomness with; printed when the test fails."""
    chosen = request.config.stash[SESSION_SEED]
    sys.stdout.write(f"ASYNCFLOW_SEED={chosen}\n")
    return chosen


# ----------------------------------------------------------------------------------------------------------- the loop
def eager_loop() -> asyncio.AbstractEventLoop:
    """Makes a loop whose tasks start at once (Python 3.12 and later)."""
    loop = asyncio.new_event_loop()
    loop.set_task_factory(asyncio.eager_task_factory)
    return loop


@pytest.fixture
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """The loop of every async test that does not ask for `virtual_time`."""
    match request.config.getoption("--loop"):
        case "debug":
            return "asyncio", {"debug": True}
        case "eager" if sys.version_info < (3, 12):
            pytest.skip("eager tasks came with Python 3.12")
        case "eager":
            return "asyncio", {"loop_factory": eager_loop}
        case "uvloop":
            return "asyncio", {"use_uvloop": True}
    return "asyncio", {}


class SleptOnTheLoopError(AssertionError):
    """A test, or what it tests, blocked the loop."""


def refuse_sleep(event: str, arguments: tuple[object, ...]) -> None:
    """Raises where `time.sleep` is called while a loop runs on the same thread."""
    if event == "time.sleep" and asyncio._get_running_loop() is not None:
        raise SleptOnTheLoopError(f"time.sleep{arguments} blocks the loop: await anyio.sleep instead")


sys.addaudithook(refuse_sleep)


# ---------------------------------------------------------------------------------------------------- nothing is left
def pending_tasks() -> set[asyncio.Task[Any]]:
    """Returns all tasks of all loops that are not done."""
    known = getattr(asyncio.tasks, "_scheduled_tasks", None) or getattr(asyncio.tasks, "_all_tasks", ())
    return {task for task in list(known) if not task.done()}


def open_files() -> dict[str, str]:
    """Returns the open files of this process, where the system tells."""
    found: dict[str, str] = {}
    if not OPEN_FILES.is_dir():
        return found
    for number in os.listdir(OPEN_FILES):  # noqa: PTH208 — Path.iterdir would join paths for nothing
        try:
            found[number] = os.readlink(OPEN_FILES / number)  # noqa: PTH115 — likewise
        except OSError:
            continue
    return found


def left_over_files(before: dict[str, str]) -> dict[str, str]:
    """Returns the files that are open now and were not, those aside that garbage still holds."""
    left = {number: name for number, name in open_files().items() if before.get(number) != name}
    if left:
        gc.collect()
        left = {number: name for number, name in left.items() if open_files().get(number) == name}
    return {number: name for number, name in left.items() if not name.startswith(("/proc/", "/dev/"))}


@pytest.fixture(autouse=True)
def nothing_is_left() -> Generator[None]:
    """Fails a test that leaves a thread, a task or an open file."""
    threads, tasks, files = set(threading.enumerate()), pending_tasks(), open_files()
    yield
    for thread in set(threading.enumerate()) - threads:
        thread.join(LINGER)
    assert {thread.name for thread in set(threading.enumerate()) - threads} == set()
    assert {repr(task) for task in pending_tasks() - tasks} == set()
    assert left_over_files(files) == {}
