"""Changes as data: all or none, and a preview that says what really follows and leaves no trace."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asyncflow._limits import Admission, Changes, Claim, NewLimit
from asyncflow._limits.log import DecisionLog
from asyncflow.errors import AdmissionError, ConfigurationError
from tests._limits.core_kit import CORE
from tests._limits.histories import Historian, in_state
from tests._limits.pair import Pair, Step, attempt

STEPS = 40


def fingerprint(core: Admission) -> tuple[Any, ...]:
    """Everything that can be seen of a core, and the numbers it would give next."""
    core.check()
    state = core._state
    numbers = (state.seq, state.seats._numbers, state.books._loans, state.due, len(state.arrivals))
    waiting = [(claim.seq, claim.state, claim.waits()) for claim in core.waiting_claims()]
    services = [(s.held, s.service) for group in core._groups.values() for s in group.stakes.values()]
    log = [] if state.log is None else list(state.log.records)
    return numbers, waiting, services, core.snapshot(), core.gatherers(), list(core.commands), log


class Amended:
    """A history in which, now and then, several changes are made in one step; model and core side by side."""

    def __init__(self, seed: int) -> None:
        self.historian = Historian(seed)
        self.pair = Pair(self.historian.setup, CORE, log=DecisionLog())
        self.random = Random(seed)
        self.previews = self.starts = 0

    def walk(self) -> None:
        """Walks the history."""
        pair = self.pair
        for _ in range(STEPS):
            for step in self.historian.steps(pair):
                pair.apply(step)
            if self.random.random() < 0.3:
                self._amend()

    def _amend(self) -> None:
        """Previews changes, refuses them with a wrong one behind, makes them, and compares what starts."""
        core, model = self.pair.core, self.pair.model
        steps = self._steps()
        before = fingerprint(core.admission)
        preview = core.admission.preview(self._changes(steps)[0])
        wrong = self._changes(steps)[0]
        wrong.release(Claim(core.parties[0], core.demand(()), 0))
        with pytest.raises(AdmissionError):
            core.admission.apply(wrong)
        assert fingerprint(core.admission) == before
        for step in steps:
            if step[0] == "limit":
                model.limits.append(model.admission.limit("new", step[1], named=step[2], reentrant=step[3]))
            else:
                attempt(model, step)
        changes, new = self._changes(steps)
        made = core.admission.apply(changes)
        core.limits.extend([made[one] for one in new])
        waiting = core.admission.waiting_claims()
        started = self.pair.apply(("round", 0))
        assert [core.number(claim) for claim in preview.starts] == started
        stays = sorted(core.admission.waiting_claims(), key=lambda claim: claim.seq)
        assert list(preview.stays) == stays
        assert set(preview.deadlocks) == {claim for claim in waiting if claim.state.name == "DEADLOCKED"}
        assert set(preview.never) <= set(preview.stays)
        self.previews += 1
        self.starts += len(started)

    def _steps(self) -> list[Step]:
        """Some changes that can be made one after another."""
        random, pair = self.random, self.pair
        live = [*in_state(pair, "WAITING"), *in_state(pair, "GRANTED")]
        steps: list[Step] = []
        known = len(pair.core.limits)
        for _ in range(random.randint(0, 5)):
            kind = random.choice(("resize", "resize", "pause", "resume", "priority", "limit", "gone", "rematch"))
            limit = random.randrange(known)
            if kind == "resize":
                steps.append(("resize", limit, random.choice((0, 1, 2, 3, 5, None))))
            elif kind in {"pause", "resume"}:
                steps.append((kind, limit))
            elif kind == "priority":
                steps.append(("priority", random.randrange(len(pair.core.parties)), random.randrange(3)))
            elif kind == "limit":
                steps.append(("limit", random.choice((0, 1, 2, None)), random.random() < 0.5, random.random() < 0.8))
                known += 1
            elif live and kind == "gone":
                number = random.choice(live)
                granted = pair.core.state(number) == "GRANTED"
                ghost = pair.core.claims[number].ghost
                gone = {number} if ghost is None or granted else {pair.core.number(one) for one in ghost.claims}
                live = [one for one in live if one not in gone]
                steps.append((random.choice(("release", "withdraw")) if granted else "withdraw", number))
            elif live:
                limits = sorted(random.sample(range(known), min(known, random.randint(0, 3))))
                steps.append(("rematch", random.choice(live), tuple((one, random.randint(1, 2)) for one in limits)))
        return self._without_idle(steps)

    def _without_idle(self, steps: list[Step]) -> list[Step]:
        """Takes out what gives a claim the demand it has: the core does nothing then."""
        demands = {
            number: tuple((self.pair.core.limits.index(limit), amount) for limit, amount in claim.demand.needs)
            for number, claim in self.pair.core.claims.items()
            if claim.state.name in {"WAITING", "GRANTED"}
        }
        kept: list[Step] = []
        for step in steps:
            if step[0] == "rematch":
                if demands[step[1]] == step[2]:
                    continue
                demands[step[1]] = step[2]
            kept.append(step)
        return kept

    def _changes(self, steps: list[Step]) -> tuple[Changes, list[NewLimit]]:
        """The same for the core."""
        core, changes = self.pair.core, Changes()
        new: list[NewLimit] = []

        def limit(number: int) -> Any:
            return core.limits[number] if number < len(core.limits) else new[number - len(core.limits)]

        for verb, *args in steps:
            if verb == "limit":
                new.append(changes.new_limit("new", args[0], named=args[1], reentrant=args[2]))
            elif verb == "resize":
                changes.resize(limit(args[0]), args[1])
            elif verb in {"pause", "resume"}:
                getattr(changes, verb)(limit(args[0]))
            elif verb == "priority":
                changes.reprioritise(core.parties[args[0]], args[1])
            elif verb == "rematch":
                changes.rematch(core.claims[args[0]], [(limit(one), amount) for one, amount in args[1]])
            else:
                getattr(changes, verb)(core.claims[args[0]])
        return changes, new


@settings(max_examples=15, suppress_health_check=list(HealthCheck), deadline=None)
@given(st.integers(0, 1_000_000))
def test_a_preview_tells_what_really_starts_and_leaves_no_trace(seed: int) -> None:
    """What `preview` says, `apply` and a round do, as the model does; refused changes change nothing."""
    Amended(seed).walk()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_previews_over_many_histories() -> None:
    """The same over the seeds 0 to 299; the walk is not idle."""
    starts = 0
    for seed in range(300):
        history = Amended(seed)
        try:
            history.walk()
        except Exception as error:
            error.add_note(f"seed {seed}, flavour {history.historian.flavour}")
            raise
        starts += history.starts
    assert starts > 300


def _one_pool(capacity: int, needs: tuple[int, ...]) -> tuple[Admission, Any, list[Claim]]:
    core = Admission()
    db = core.limit("db", capacity)
    party = core.party(core.group("run"))
    claims = [Claim(party, core.demand([(db, amount)]), i, i) for i, amount in enumerate(needs)]
    core.enqueue_many(claims)
    return core, db, claims


def test_who_would_start_anyway_is_told_apart() -> None:
    """One has not been seen by a round yet and fits: it starts with or without the change; one more by the change."""
    core, db, claims = _one_pool(1, (1, 1, 1))
    changes = Changes()
    changes.resize(db, 2)
    preview = core.preview(changes)
    assert preview.starts == tuple(claims[:2])
    assert preview.starts_anyway == (claims[0],)
    assert preview.stays == (claims[2],)
    assert preview.never == ()


def test_who_can_never_start_under_the_new_capacities_is_told() -> None:
    """A pool shrinks below what one waits for: it is named; 0 is a pause and names nobody."""
    core, db, claims = _one_pool(4, (4, 3, 1))
    core.admit(0)
    changes = Changes()
    changes.resize(db, 2)
    assert core.preview(changes).never == (claims[1],)
    paused = Changes()
    paused.resize(db, 0)
    assert core.preview(paused).never == ()
    assert core.preview(paused).stays == tuple(claims[1:])


def test_a_ghost_starts_with_both_halves_and_its_run_does_not_stay() -> None:
    """A run waits with two ghosts; a root's pool grows: the run and that root start, and nobody of it stays."""
    core = Admission()
    place, db, gpu = core.limit("runs", 1), core.limit("db", 0), core.limit("gpu", 0)
    party = core.party(core.group("run"))
    pairs = [
        (Claim(party, core.demand([(place, 1)]), i, "run"), Claim(party, core.demand([(pool, 1)]), i, pool.name))
        for i, pool in enumerate((db, gpu))
    ]
    core.enqueue_ghosts(pairs)
    assert core.admit(0) == []
    changes = Changes()
    changes.resize(gpu, 1)
    preview = core.preview(changes)
    assert preview.starts == pairs[1]
    assert preview.stays == ()
    assert core.admit(1) == []


def test_a_new_limit_can_be_used_by_later_changes() -> None:
    """A rule appears: the limit is made, who runs and who waits is rematched to it, in one step."""
    core, db, claims = _one_pool(1, (1, 1))
    core.admit(0)
    changes = Changes()
    tag = changes.new_limit("@tag", 1)
    for claim in claims:
        changes.rematch(claim, [(db, 1), (tag, 1)])
    changes.resize(db, 5)
    assert core.preview(changes).starts == ()
    made = core.apply(changes)
    assert core.admit(1) == []
    assert (made[tag].name, made[tag].held) == ("@tag", 1)
    core.release(claims[0])
    assert core.admit(2) == [claims[1]]


def test_a_wrong_change_is_refused_before_the_first_is_made() -> None:
    """Each way in which a list can be wrong names the change, and leaves capacities and claims as they were."""
    core, db, claims = _one_pool(1, (1, 1))
    core.admit(0)
    other = Admission()
    foreign = other.limit("foreign", 1)
    stranger = Changes().new_limit("nowhere", 1)
    waiting, running = claims[1], claims[0]
    wrong: dict[str, Any] = {
        "there is no limit 'foreign'": lambda changes: changes.pause(foreign),
        "there is no limit 'nowhere'": lambda changes: changes.rematch(waiting, [(stranger, 1)]),
        "is not held by then": lambda changes: changes.release(waiting),
        "neither waits nor holds": lambda changes: (changes.withdraw(waiting), changes.rematch(waiting, [(db, 1)])),
        "change 3 (Release)": lambda changes: (changes.release(running), changes.release(running)),
    }
    for expected, add in wrong.items():
        changes = Changes()
        changes.resize(db, 7)
        add(changes)
        for refused in (core.apply, core.preview):
            with pytest.raises(AdmissionError) as caught:
                refused(changes)
            assert expected in str(caught.value)
            assert "so none was" in str(caught.value)
        assert (db.capacity, waiting.state.name, running.state.name) == (1, "WAITING", "GRANTED")


def test_arguments_are_checked_when_a_list_is_built() -> None:
    """Negative capacities and amounts below one never get into a list."""
    core, db, claims = _one_pool(1, (1,))
    changes = Changes()
    with pytest.raises(ConfigurationError):
        changes.resize(db, -1)
    with pytest.raises(ConfigurationError):
        changes.new_limit("x", -2)
    with pytest.raises(AdmissionError):
        changes.rematch(claims[0], [(db, 0)])
    assert len(changes) == 0
    assert core.apply(changes) == {}


def test_the_demand_a_claim_has_does_not_cost_its_seniority() -> None:
    """A gatherer that is rematched to what it asks for already goes on gathering."""
    core = Admission(max_overtakes=1)
    db = core.limit("db", 2)
    party = core.party(core.group("run"))
    small, wide = core.demand([(db, 1)]), core.demand([(db, 2)])
    first, broad, second, third = (Claim(party, d, i, i) for i, d in enumerate((small, wide, small, small)))
    core.enqueue_many([first, broad, second])
    core.admit(0)
    core.release(first)
    core.enqueue(third)
    core.admit(1)
    assert core.gatherers() == [broad]
    changes = Changes()
    changes.rematch(broad, [(db, 1), (db, 1)])
    core.apply(changes)
    core.admit(2)
    assert core.gatherers() == [broad]


def test_a_limit_dropped_before_its_service_was_added_can_still_be_copied() -> None:
    """A unit is given back early and its limit dropped in one turn: nothing is left that a twin could not follow."""
    core = Admission()
    db, tag = core.limit("db", 1), core.limit("tag", 1)
    party = core.party(core.group("run"))
    claim, later = (Claim(party, core.demand([(db, 1), (tag, 1)]), 0, 0), Claim(party, core.demand([(db, 1)]), 1, 1))
    core.enqueue(claim)
    core.admit(0)
    core.enqueue(later)
    core.release(claim, [tag])
    core.drop(tag)
    changes = Changes()
    changes.release(claim)
    assert core.preview(changes).starts == (later,)
    core.admit(5)
    assert core.preview(changes).starts == (later,)
