"""Ctrl-C at random moments, in a process of its own: everything is cleaned up and KeyboardInterrupt leaves."""

import subprocess
import sys

import pytest

PROGRAM = """
import asyncio, os, random, signal, sys, threading, warnings
import anyio
from asyncflow import Deployment, each, graph, op

warnings.simplefilter("error")
rng = random.Random(int(sys.argv[1]))
cleaned = 0

@op(pool="p")
async def work(x: int) -> int:
    global cleaned
    try:
        for _ in range(rng.randint(0, 3)):
            await anyio.sleep(0.001)
    finally:
        cleaned += 1
    return x

@op(pool="p")
def threaded(x: int) -> int:
    return x

@op(pool="p")
async def parent(x: int) -> int:
    return await work.run(x)

@graph(max_concurrent=5)
def mixed(n: int) -> list[int]:
    return [parent(threaded(work(i))) for i in range(n)]

async def main(deployment, ready):
    ready.set()
    while True:
        await mixed.on(deployment).run(20)

interrupted = 0
for round in range(int(sys.argv[2])):
    deployment = Deployment("d", concurrency={"pools": {"limits": {"p": 3}}})
    ready = threading.Event()
    def interrupt():
        ready.wait()
        threading.Event().wait(rng.random() * 0.01)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        asyncio.run(main(deployment, ready))
    except KeyboardInterrupt:
        interrupted += 1
    thread.join()
    engine = deployment._engine
    held = [limit for limit in engine.core.snapshot().limits if limit.held or limit.waiters]
    assert not held, held
    assert not engine.runs, engine.runs
print("interrupted", interrupted)
"""


@pytest.mark.slow
def test_row_20_interrupts_at_200_random_moments(seed: int) -> None:
    """Row 20: SIGINT 200 times while runs go on: KeyboardInterrupt each time, no slot held, no run left, no warning."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(seed), "200"], capture_output=True, text=True, timeout=50, check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == ("interrupted 200\n", "", 0)
