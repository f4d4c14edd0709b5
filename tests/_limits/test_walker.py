"""Random histories on the fast core and the slow model in lockstep; `benchmarks/soak_admission.py` walks millions."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from asyncflow._limits.log import DecisionLog
from tests._limits.core_kit import CORE
from tests._limits.histories import FLAVOURS, Historian
from tests._limits.pair import Pair
from tests._limits.walker import Tally, walk

ROOT = Path(__file__).parents[2]
FIRST = int(os.environ.get("ASYNCFLOW_SEED", "0"))
QUICK = 160
PARTS, LONG = 4, 4_000
"""The histories of CI: four tests of 4,000, about 100 s on one core."""


def walked(first: int, count: int) -> Tally:
    """Walks histories `first` … `first + count - 1`."""
    tally = Tally()
    for seed in range(first, first + count):
        tally.add(walk(seed, CORE))
    sys.stdout.write(f"ASYNCFLOW_SEED={first}: {tally}\n")
    return tally


def test_a_few_histories_of_every_flavour() -> None:
    """Core and model decide alike, and every invariant holds, in ten histories of each flavour."""
    tally = walked(FIRST, QUICK)
    assert tally.flavours == dict.fromkeys(FLAVOURS, QUICK // len(FLAVOURS))


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("part", range(PARTS))
def test_many_histories(part: int) -> None:
    """The same in thousands; they must reach the rare things too, or they would prove nothing."""
    tally = walked(FIRST + QUICK + part * LONG, LONG)
    assert tally.histories == LONG
    assert min(tally.gathered, tally.borrowed, tally.deadlocks, tally.records) > 0


@pytest.mark.slow
def test_decisions_depend_on_nothing_but_the_stimuli() -> None:
    """Two processes with other hashes of strings decide the same, in the same order."""
    digests = {hash_seed: digest_under(hash_seed) for hash_seed in ("0", "1", "4242")}
    assert len(set(digests.values())) == 1, digests


def digest_under(hash_seed: str) -> str:
    """The digest of all decisions of some histories, taken in a process of its own."""
    code = "from tests._limits.test_walker import digest; print(digest(104))"
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return done.stdout


def digest(count: int) -> str:
    """The digest of the decision logs of the first histories."""
    decisions = hashlib.sha256()
    for seed in range(count):
        for line in log_lines(seed):
            decisions.update(line.encode())
    return decisions.hexdigest()


def log_lines(seed: int) -> list[str]:
    """The decision log of one history."""
    historian = Historian(seed)
    log = DecisionLog()
    pair = Pair(historian.setup, CORE, log=log)
    steps = 0
    while steps < historian.length:
        for step in historian.steps(pair):
            pair.apply(step)
            steps += 1
    return list(log.lines())
