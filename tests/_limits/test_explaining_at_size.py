"""Explanations and snapshots: exact in any history, told of a moment, and cheap in a long queue."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asyncflow._limits import Admission, Claim, remedy
from asyncflow._limits.snapshot import WaiterView
from tests._limits.core_kit import CORE
from tests._limits.histories import Historian
from tests._limits.pair import Pair, Setup

Pairs = list[tuple[Claim, Claim | None]]


def queued_runs(count: int, *, tags: int = 20) -> tuple[Admission, list[Pairs]]:
    """Runs of one or two ghosts each: a run place, a run tag and the pool of a root."""
    core = Admission()
    place, db, gpu = core.limit("runs", 10), core.limit("db", 3), core.limit("gpu", 1)
    tagged = [core.limit(f"tag{i}", 3) for i in range(tags)]
    families: list[Pairs] = []
    for i in range(count):
        party = core.party(core.group(i))
        run = core.demand([(place, 1), (tagged[i % tags], 1)])
        pools = (db,) if i % 2 else (db, gpu)
        pairs: Pairs = [
            (Claim(party, run, 0, f"run{i}"), Claim(party, core.demand([(pool, 1)]), 0, f"run{i}/{pool.name}"))
            for pool in pools
        ]
        core.enqueue_ghosts(pairs)
        families.append(pairs)
    core.admit(0)
    return core, families


def check_told(core: Admission, claim: Claim) -> int:
    """Whatever is told to start a waiter starts it in a copy of everything; returns how many changes were told."""
    family = {claim} if claim.ghost is None else {one.run for one in claim.ghost.family.ghosts}
    told = core.explain(claim)
    for words, changes in zip(told.unblocked_by, told.changes, strict=False):
        starts = core.preview(changes).starts
        assert family & set(starts), f"{words} does not start {claim} but {starts}"
    return len(told.changes)


def check_positions(core: Admission, claim: Claim) -> None:
    """The position is that in the order of all who wait, made by sorting them."""
    waiter = claim if claim.ghost is None else claim.ghost.run
    state = core._state
    if waiter.cell is None:
        return

    def place(one: Claim) -> tuple[object, ...]:
        group = state.seats.group_of(one)
        stakes = [group.stake(limit) for limit, _ in one.asked.named]
        return -one.party.priority, group.standing(stakes), state.seats.place_of(one)

    order = sorted(state.queue.waiters(), key=place)
    for blocker in core.explain(waiter).blockers:
        before = [
            one for one in order[: order.index(waiter)] if any(n.name == blocker.limit for n, _ in one.asked.needs)
        ]
        assert blocker.position == 1 + len(before), blocker


def walk(seed: int, *, overtakes: int | None = None) -> int:
    """Explains everybody who waits now and then in one history; returns how many changes were told."""
    historian = Historian(seed)
    setup = historian.setup
    if overtakes is not None:
        setup = Setup(overtakes, setup.fair, setup.limits, setup.weights, setup.parties)
    pair = Pair(setup, CORE)
    told = 0
    for turn in range(40):
        for step in historian.steps(pair):
            pair.apply(step)
        if turn % 5 == 0:
            core = pair.core.admission
            for claim in core.waiting_claims():
                told += check_told(core, claim)
                check_positions(core, claim)
    return told


@settings(max_examples=15, suppress_health_check=list(HealthCheck), deadline=None)
@given(st.integers(0, 1_000_000))
def test_what_is_told_starts_the_waiter(seed: int) -> None:
    """In any history each told change, made in a whole copy, starts the waiter; positions are those of a sort."""
    walk(seed)


@settings(max_examples=15, suppress_health_check=list(HealthCheck), deadline=None)
@given(st.integers(0, 1_000_000), st.sampled_from([2, 64]))
def test_what_is_told_by_copying_few_starts_the_waiter_too(seed: int, overtakes: int) -> None:
    """The same where only those who matter are copied, however few wait."""
    few, remedy.FEW = remedy.FEW, 0
    try:
        walk(seed, overtakes=overtakes)
    finally:
        remedy.FEW = few


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("few", [0, 48])
def test_what_is_told_in_many_histories(few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same over 320 seeds; the walk is not idle."""
    monkeypatch.setattr(remedy, "FEW", few)
    assert sum(walk(seed, overtakes=64 if seed % 2 else None) for seed in range(320)) > 800


def test_those_in_front_of_a_long_queue_are_told_exactly_and_those_behind_what_it_would_take() -> None:
    """The first needs one unit more; the second needs two; the last would have to come first, and that is said."""
    core, families = queued_runs(600)
    last = families[-1][0][0]
    in_front = [claim for claim in core._state.queue.waiters() if core.explain(claim).blockers[0].position == 1]
    told = core.explain(in_front[0])
    assert told.unblocked_by[0] == f"1 more of {told.blockers[0].limit}"
    far = core.explain(last)
    assert [(one.limit, one.position) for one in far.blockers] == [("db", 596)]
    assert far.unblocked_by == ("1 more of db and priority 1",)
    assert not far.tried
    assert "not everything that may help was tried" in str(far)
    assert last in core.preview(far.changes[0]).starts


def test_the_ghosts_of_a_run_are_explained_as_one() -> None:
    """A run that may start by either of two pools names both, and each way out once."""
    core, families = queued_runs(40, tags=2)
    family = next(pairs for pairs in families if len(pairs) == 2 and pairs[0][0].state.name == "WAITING")
    told = core.explain_ghosts([run for run, _ in family])
    single = [core.explain(run) for run, _ in family]
    assert {one.limit for one in told.blockers} == {one.limit for each in single for one in each.blockers}
    assert list(told.unblocked_by) == list(dict.fromkeys([way for each in single for way in each.unblocked_by]))


def test_a_snapshot_is_of_one_moment_whenever_it_is_read() -> None:
    """Waiters are put in order when somebody looks; what happened in between does not show."""
    core, families = queued_runs(30, tags=2)
    before, untouched = core.snapshot(), core.snapshot()
    expected = tuple(untouched.limit("db").waiters)
    assert expected[0] == WaiterView(expected[0].owner, 1, 0)
    for claim in list(core._state.books.granted):
        core.release(claim)
    core.reprioritise(families[-1][0][0].party, priority=5)
    for run, _ in families[10]:
        core.withdraw(run)
    core.admit(7)
    assert before == untouched
    assert tuple(before.limit("db").waiters) == expected
    assert len(before.limit("db").waiters) > len(core.snapshot().limit("db").waiters)


def test_owners_are_shown_as_the_caller_wants() -> None:
    """`shown` changes how owners appear, of holders and of waiters."""
    core, _ = queued_runs(10, tags=1)
    seen = core.snapshot(lambda owner: str(owner).upper()).limit("db")
    assert [holder.owner for holder in seen.holders][:1] == ["RUN0/DB"]
    assert all(waiter.owner.startswith("RUN") for waiter in seen.waiters)


def test_ten_thousand_queued_runs_are_reported(capsys: pytest.CaptureFixture[str]) -> None:
    """Reports what explaining and a snapshot cost with 100 and 10,000 queued runs; asserts no time."""
    for count in (100, 10_000):
        core, families = queued_runs(count)
        last = families[-1][0][0]
        explained = best(lambda core=core, last=last: core.explain(last))  # type: ignore[misc] — bound as defaults
        noted = best(core.snapshot)
        with capsys.disabled():
            sys.stdout.write(f"\n{count:,} queued: explain {explained * 1e3:.1f} ms, snapshot {noted * 1e3:.1f} ms\n")
        assert core.explain(last).blockers


def best(action: Callable[[], object]) -> float:
    """The seconds of the quickest of three."""
    times: list[float] = []
    for _ in range(3):
        begun = time.perf_counter()
        action()
        times.append(time.perf_counter() - begun)
    return min(times)
