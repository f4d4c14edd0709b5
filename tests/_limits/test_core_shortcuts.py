"""The fast paths of the core decide as the long way does: each is switched off, and nothing changes."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from asyncflow._limits import Admission, Claim
from asyncflow._limits import round as rounds
from asyncflow._limits.deadlock import Reduction
from asyncflow._limits.round import Round


def history(seed: int, *, nested: bool = False) -> list[tuple[Any, ...]]:
    """One random history on a fresh core: what started in each round, what it waited for, and who was deadlocked."""
    random = Random(seed)
    core = Admission(max_overtakes=random.choice((1, 3, 64)))
    limits = [core.limit(f"l{i}", random.choice((1, 2, 3, 5, None)), named=random.random() < 0.6) for i in range(3)]
    parties = [core.party(core.group(i % 2, random.choice((1.0, 2.0)))) for i in range(random.choice((1, 1, 3)))]
    shapes = [[(limit, 1) for limit in limits if random.random() < 0.6] for _ in range(random.choice((1, 1, 3)))]
    demands = [core.demand(shape) for shape in shapes]
    running: list[Claim] = []
    seen: list[tuple[Any, ...]] = []
    number = 0
    for now in range(60):
        for _ in range(random.choice((0, 1, 1, 2, 6))):
            number += 1
            parent = random.choice(running) if nested and running and random.random() < 0.6 else None
            core.enqueue(Claim(random.choice(parties), random.choice(demands), random.randrange(3), number, parent))
        for claim in random.sample(running, random.randint(0, len(running))):
            running.remove(claim)
            core.release(claim)
        started = core.admit(now * 10)
        running += started
        stuck = [command.claim.owner for command in core.commands]
        core.commands.clear()
        seen.append(([claim.owner for claim in started], [claim.waits() for claim in started], stuck))
        core.check()
    return seen


@pytest.mark.parametrize("shortcut", ["hand_over", "start_at_once", "all_fit"])
def test_without_the_shortcut_the_same_starts(shortcut: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Handing over, starting past a crowd and granting all at once are only shorter ways."""
    seeds = range(150)
    expected = [history(seed) for seed in seeds]
    if shortcut == "hand_over":
        monkeypatch.setattr(rounds, "hand_over", lambda *_: None)
    elif shortcut == "start_at_once":
        monkeypatch.setattr(Round, "_start_at_once", lambda *_: False)
    else:
        monkeypatch.setattr(Admission, "_all_that_fit", lambda *_: None)
    assert [history(seed) for seed in seeds] == expected


def test_no_deadlock_without_suspicion(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whenever the suspicion says that no reduction is needed, a reduction finds nothing."""
    looked = [0]
    close = Round._close

    def closing(self: Round) -> None:
        state = self._state
        found = Reduction(state.books, state.seats.nested, state.queue.apart).youngest()
        looked[0] += bool(state.seats.nested)
        assert found is None
        close(self)

    monkeypatch.setattr(Round, "_close", closing)
    deadlocks = sum(len(stuck) for seed in range(200) for _, _, stuck in history(seed, nested=True))
    assert deadlocks > 20, "the histories do not come near a deadlock"
    assert looked[0] > 1_000


def test_reductions_are_rare_where_nothing_is_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred ops whose children wait for a full pool cost no reduction: each borrows its parent's place."""
    core = Admission()
    cap, web = core.limit("cap", 100, named=False), core.limit("web", 5)
    party = core.party(core.group("run"))
    parents = [Claim(party, core.demand([(cap, 1)]), i, i) for i in range(100)]
    core.enqueue_many(parents)
    assert len(core.admit(0)) == 100
    reductions = [0]
    original = Reduction.__init__

    def counted(self: Reduction, *args: Any) -> None:
        reductions[0] += 1
        original(self, *args)

    monkeypatch.setattr(Reduction, "__init__", counted)
    child = core.demand([(cap, 1), (web, 1)])
    running: list[Claim] = []
    for now, parent in enumerate(parents):
        core.enqueue(Claim(party, child, 0, ("child", now), parent))
        running += core.admit(now)
    while running:
        core.release(running.pop(0))
        running += core.admit(200)
    assert core.commands == []
    assert reductions[0] == 0
