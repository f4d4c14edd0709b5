"""Soaks the admission core: random histories on the fast core and the slow model in lockstep.

    python benchmarks/soak_admission.py --histories 1000000 --seed 0 --jobs 2

History `n` of a soak is the walker's history `seed + n`, so any part of a soak can be run again, and one that fails is
replayed alone with `--seed <its seed> --histories 1`. After every step all invariants are checked; every fifth history
keeps a decision log, which the checker replays. Exit code 1 if any history failed.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from tests._limits.core_kit import CORE  # noqa: E402 — the path is set above, so that this runs in a bare clone
from tests._limits.walker import HistoryError, Tally, walk  # noqa: E402 — the path is set above

CHUNK = 500
FAILURES_SHOWN = 5


def walk_chunk(first: int, count: int, length: int) -> tuple[Tally, list[str]]:
    """Walks some histories; returns what was walked and the reports of those that failed."""
    tally = Tally()
    failures: list[str] = []
    for seed in range(first, first + count):
        try:
            tally.add(walk(seed, CORE, length=length))
        except HistoryError as failure:
            tally.histories += 1
            failures.append(str(failure))
            if len(failures) >= FAILURES_SHOWN:
                break
    return tally, failures


def chunks(first: int, count: int) -> Iterator[tuple[int, int]]:
    """Cuts a soak into pieces for the workers."""
    for start in range(first, first + count, CHUNK):
        yield start, min(CHUNK, first + count - start)


def soak(first: int, count: int, *, jobs: int, length: int) -> int:
    """Runs a soak; returns the number of histories that failed."""
    began = time.monotonic()
    told = began
    total, failed = Tally(), 0
    pieces = chunks(first, count)
    with ProcessPoolExecutor(jobs) as workers:
        running: set[Future[tuple[Tally, list[str]]]] = set()
        while True:
            for piece in pieces:
                running.add(workers.submit(walk_chunk, *piece, length))
                if len(running) >= 2 * jobs:
                    break
            if not running:
                break
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                tally, failures = future.result()
                total.add(tally)
                for failure in failures[: max(0, FAILURES_SHOWN - failed)]:
                    print(failure, flush=True)
                failed += len(failures)
            if time.monotonic() - told > 10:
                told = time.monotonic()
                rate = total.histories / (told - began)
                print(f"{total}; {rate:,.0f} histories/s; {failed} failed", flush=True)
    elapsed = time.monotonic() - began
    print(f"\nseeds {first}–{first + count - 1}, {jobs} processes, {elapsed:,.0f} s\n{total}")
    print("by flavour: " + ", ".join(f"{name} {number}" for name, number in sorted(total.flavours.items())))
    print("every decision as the model's, every invariant held" if not failed else f"{failed} histories FAILED")
    return failed


def main() -> None:
    """Reads the command line and runs the soak."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--histories", type=int, default=1_000_000)
    parser.add_argument(
        "--seed", type=int, default=int(os.environ.get("ASYNCFLOW_SEED", "0")), help="the first history"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--length", type=int, default=24, help="steps of a history")
    options = parser.parse_args()
    print(f"ASYNCFLOW_SEED={options.seed}", flush=True)
    sys.exit(1 if soak(options.seed, options.histories, jobs=options.jobs, length=options.length) else 0)


if __name__ == "__main__":
    main()
