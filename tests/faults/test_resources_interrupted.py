"""Ctrl-C at random moments of runs with resources, in a process of its own: whatever was opened is closed."""

import subprocess
import sys

import pytest

PROGRAM = """
import asyncio, random, signal, sys, threading, warnings
import anyio
from asyncflow import Deployment, each, graph, op, use

warnings.simplefilter("error")
rng = random.Random(int(sys.argv[1]))
balance = 0

async def kept():
    global balance
    balance += 1
    try:
        await anyio.sleep(rng.random() * 0.002)
        yield balance
        await anyio.sleep(rng.random() * 0.002)
    finally:
        await anyio.sleep(0)
        balance -= 1

async def grouped(below=use(kept, "run")):
    async with anyio.create_task_group() as group:
        group.start_soon(anyio.sleep_forever)
        yield below
        group.cancel_scope.cancel()

@op(pool="p")
async def work(x: int, a: int = use(kept), b: int = use(grouped, "run"), c: int = use(kept, "deployment")) -> int:
    await anyio.sleep(rng.random() * 0.001)
    return x

@op(pool="p")
def threaded(x: int, a: int = use(grouped)) -> int:
    return x

@graph(max_concurrent=5)
def mixed(n: int) -> list[int]:
    return [threaded(work(i)) for i in range(n)]

async def main(deployment, opened, ready):
    ready.set()
    if not opened:
        while True:
            await mixed.on(deployment).run(10)
    async with deployment:
        while True:
            await mixed.on(deployment).run(10)

interrupted = 0
for round in range(int(sys.argv[2])):
    deployment = Deployment("d", concurrency={"pools": {"limits": {"p": 3}}})
    ready = threading.Event()
    def interrupt():
        ready.wait()
        threading.Event().wait(rng.random() * 0.02)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        asyncio.run(main(deployment, round % 2, ready))
    except KeyboardInterrupt:
        interrupted += 1
    thread.join()
    engine = deployment._engine
    held = [limit for limit in engine.core.snapshot().limits if limit.held or limit.waiters]
    assert not held, held
    assert not engine.runs, engine.runs
    assert balance == 0, balance
print("interrupted", interrupted)
"""


@pytest.mark.slow
def test_interrupts_at_100_random_moments(seed: int) -> None:
    """SIGINT while resources open, are used and close: KeyboardInterrupt each time, and nothing is open or held."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(seed), "100"], capture_output=True, text=True, timeout=50, check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == ("interrupted 100\n", "", 0)
