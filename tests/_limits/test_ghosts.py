"""Ghosts of queued runs while things change: withdrawn, reprioritised, rematched, and a run buffer beside roots."""

from __future__ import annotations

from asyncflow._limits import Admission, Claim, Limit
from asyncflow._limits.claim import ClaimState


def a_run(core: Admission, name: str, needs: list[Limit], roots: list[Limit]) -> list[tuple[Claim, Claim | None]]:
    """Queues a run with a ghost for each root's pool."""
    party = core.party(core.group(name))
    run = core.demand([(limit, 1) for limit in needs])
    pairs: list[tuple[Claim, Claim | None]] = [
        (Claim(party, run, i, name), Claim(party, core.demand([(pool, 1)]), i, f"{name}/{pool.name}"))
        for i, pool in enumerate(roots)
    ]
    core.enqueue_ghosts(pairs)
    return pairs


def test_a_whole_family_is_withdrawn() -> None:
    """Every ghost of a queued run is taken back: nothing is held or reserved, and the next run starts."""
    core = Admission()
    runs, db, gpu = core.limit("runs", 1), core.limit("db", 0), core.limit("gpu", 0)
    first, second = a_run(core, "first", [runs], [db, gpu]), a_run(core, "second", [runs], [db])
    assert core.admit(0) == []
    for run, _ in first:
        core.withdraw(run)
    core.resize(db, 1)
    core.resize(gpu, 1)
    assert core.admit(1) == list(second[0])
    assert {claim.state for pair in first for claim in pair if claim is not None} == {ClaimState.WITHDRAWN}
    assert (runs.held, db.held, gpu.held) == (1, 1, 0)


def test_a_party_with_ghosts_gets_another_priority() -> None:
    """The later of two queued runs is raised above the first: it has the next slot."""
    core = Admission()
    runs, db, gpu = core.limit("runs", 5), core.limit("db", 0), core.limit("gpu", 0)
    a_run(core, "first", [runs], [db])
    second = a_run(core, "second", [runs], [db, gpu])
    core.admit(0)
    core.reprioritise(second[0][0].party, priority=3)
    core.resize(db, 1)
    assert core.admit(1) == list(second[0])


def test_both_halves_of_a_ghost_can_be_rematched() -> None:
    """A new rule applies to the run, another to the root: the ghost starts when all of both fits, with its old age."""
    core = Admission()
    runs, tag, db, key = core.limit("runs", 5), core.limit("tag", 0), core.limit("db", 0), core.limit("key", 0)
    ((run, root),) = a_run(core, "run", [runs], [db])
    core.admit(0)
    assert root is not None
    core.rematch(run, core.demand([(runs, 1), (tag, 1)]))
    core.rematch(root, core.demand([(db, 1), (key, 1)]))
    core.admit(5)
    for limit in (tag, db, key):
        assert core.admit(6) == []
        core.resize(limit, 1)
    assert core.admit(7) == [run, root]
    assert (run.enqueued_at, root.granted_at) == (0, 7)
    assert [runs.held, tag.held, db.held, key.held] == [1, 1, 1, 1]


def test_a_run_of_the_buffer_starts_without_its_roots_and_gives_the_buffer_back() -> None:
    """With a buffer of one, one run more than there are slots is let in; when its first op starts, the next may."""
    core = Admission()
    runs, db, buffer = core.limit("runs", 10), core.limit("db", 1), core.limit("buffer", 1)
    families = [_with_a_buffer(core, i, runs, db, buffer) for i in range(2)]
    (first, root), _ = families[0]
    buffered = families[1][1][0]
    assert core.admit(0) == [first, root, buffered]
    op = Claim(buffered.party, core.demand([(db, 1)]), 0, "op")
    core.enqueue(op)
    assert core.admit(1) == []
    third = _with_a_buffer(core, 2, runs, db, buffer)
    assert root is not None
    core.release(root)
    assert core.admit(2) == [op]
    core.release(buffered, [buffer])
    assert core.admit(3) == [third[1][0]]
    assert (runs.held, buffer.held, db.held) == (3, 1, 1)
    core.check()


def _with_a_buffer(
    core: Admission, number: int, runs: Limit, db: Limit, buffer: Limit
) -> list[tuple[Claim, Claim | None]]:
    """Queues a run that starts with its root, or through the buffer without it."""
    party = core.party(core.group(number))
    root = Claim(party, core.demand([(db, 1)]), 0, f"root {number}")
    pairs: list[tuple[Claim, Claim | None]] = [
        (Claim(party, core.demand([(runs, 1)]), 0, number), root),
        (Claim(party, core.demand([(runs, 1), (buffer, 1)]), 1, number), None),
    ]
    core.enqueue_ghosts(pairs)
    return pairs
