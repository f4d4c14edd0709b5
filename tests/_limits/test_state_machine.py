"""The fast core against the slow model as a Hypothesis state machine: the histories are Hypothesis's, and it shrinks.

Every rule turns into a step of the pair, and the invariants are checked after each, as in the walker.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from tests._limits.core_kit import CORE
from tests._limits.invariants import Watch
from tests._limits.pair import NeedIds, Pair, Setup, Step

CAPACITY = st.sampled_from([1, 2, 3, 0, None])
WHICH = st.integers(0, 30)  # picks one of those that are there
NEEDS = st.dictionaries(st.integers(0, 2), st.integers(1, 3), max_size=3)
LIMITS = st.lists(st.tuples(CAPACITY, st.booleans(), st.booleans(), st.just(False)), min_size=1, max_size=3)


class CoreAgainstModel(RuleBasedStateMachine):
    """Local limits: order, gathering, borrowing, streams, ghosts, resize, pause, rematch."""

    limits = LIMITS

    def __init__(self) -> None:
        super().__init__()
        self.watch: Watch | None = None
        self.claims = 0

    @initialize(
        data=st.data(),
        fair=st.booleans(),
        overtakes=st.integers(1, 4),
        weights=st.lists(st.sampled_from([1.0, 0.5, 3.0]), min_size=1, max_size=3),
        parties=st.lists(st.tuples(WHICH, st.integers(0, 2)), min_size=1, max_size=4),
    )
    def begin(
        self,
        data: st.DataObject,
        fair: bool,
        overtakes: int,
        weights: list[float],
        parties: list[tuple[int, int]],
    ) -> None:
        setup = Setup(
            max_overtakes=overtakes,
            fair=fair,
            limits=tuple(data.draw(self.limits)),
            weights=tuple(weights),
            parties=tuple((group % len(weights), priority) for group, priority in parties),
        )
        self.watch = Watch(Pair(setup, CORE))

    # --------------------------------------------------------------------------------------------------- choosing
    @property
    def pair(self) -> Pair:
        assert self.watch is not None
        return self.watch.pair

    def step(self, *step: object) -> None:
        """Applies one step to both sides."""
        assert self.watch is not None
        self.watch.apply(tuple(step))

    def one(self, which: int, *states: str) -> int | None:
        """The number of one claim in one of these states."""
        there = [number for number, claim in self.pair.model.claims.items() if claim.state.name in states]
        return there[which % len(there)] if there else None

    def needs(self, chosen: dict[int, int]) -> NeedIds:
        """Needs over the limits there are."""
        return tuple(sorted((limit, amount) for limit, amount in chosen.items() if limit < len(self.pair.setup.limits)))

    def limit(self, which: int) -> int:
        """The number of a limit."""
        return which % len(self.pair.setup.limits)

    def party(self, which: int) -> int:
        """The number of a party."""
        return which % len(self.pair.setup.parties)

    def next(self) -> int:
        """A number for a new claim."""
        self.claims += 1
        return self.claims

    # ------------------------------------------------------------------------------------------------------ rules
    @rule(party=WHICH, needs=NEEDS, order=st.integers(0, 3), parent=WHICH, child=st.booleans())
    def enqueue(self, party: int, needs: dict[int, int], order: int, parent: int, child: bool) -> None:
        above = self.one(parent, "GRANTED") if child else None
        self.step("enqueue", self.next(), self.party(party), self.needs(needs), order, -1 if above is None else above)

    @rule(party=WHICH, run=NEEDS, roots=st.lists(st.none() | NEEDS, min_size=1, max_size=3), parent=WHICH)
    def enqueue_ghosts(self, party: int, run: dict[int, int], roots: list[dict[int, int] | None], parent: int) -> None:
        numbers = tuple((self.next(), -1 if root is None else self.next()) for root in roots)
        above = self.one(parent, "GRANTED") if parent % 3 == 0 else None
        root_needs = tuple(self.needs(root or {}) for root in roots)
        self.step("ghosts", numbers, self.party(party), self.needs(run), root_needs, -1 if above is None else above)

    @rule(which=WHICH)
    def release(self, which: int) -> None:
        number = self.one(which, "GRANTED")
        if number is not None:
            self.step("release", number)

    @rule(which=WHICH)
    def release_wrongly(self, which: int) -> None:
        number = self.one(which, "WAITING", "ENDED", "WITHDRAWN", "DEADLOCKED")
        if number is not None:
            self.step("release", number)

    @rule(which=WHICH, limit=WHICH)
    def release_early(self, which: int, limit: int) -> None:
        number = self.one(which, "GRANTED")
        if number is not None:
            self.step("early", number, (self.limit(limit),))

    @rule(which=WHICH)
    def withdraw(self, which: int) -> None:
        number = self.one(which, "WAITING", "GRANTED")
        if number is not None:
            self.step("withdraw", number)

    @rule(limit=WHICH, capacity=CAPACITY)
    def resize(self, limit: int, capacity: int | None) -> None:
        self.step("resize", self.limit(limit), capacity)

    @rule(limit=WHICH, verb=st.sampled_from(["pause", "resume"]))
    def pause_or_resume(self, limit: int, verb: str) -> None:
        self.step(verb, self.limit(limit))

    @rule(which=WHICH, needs=NEEDS)
    def rematch(self, which: int, needs: dict[int, int]) -> None:
        number = self.one(which, "WAITING", "GRANTED")
        if number is not None:
            self.step("rematch", number, self.needs(needs))

    @rule(party=WHICH, priority=st.integers(0, 2))
    def reprioritise(self, party: int, priority: int) -> None:
        self.step("priority", self.party(party), priority)

    @rule(which=WHICH, order=st.integers(0, 3))
    def reorder(self, which: int, order: int) -> None:
        number = self.one(which, "WAITING")
        if number is not None:
            self.step("order", number, order)

    @rule(which=WHICH, other=WHICH, to_party=st.booleans(), verb=st.sampled_from(["lend", "lend", "unlend"]))
    def lend(self, which: int, other: int, to_party: bool, verb: str) -> None:
        lender = self.one(which, "GRANTED")
        borrower = self.party(other) if to_party else self.one(other, "GRANTED", "WAITING")
        if lender is not None and borrower is not None:
            self.step(verb, lender, "party" if to_party else "claim", borrower)

    @rule(which=WHICH)
    def unpark(self, which: int) -> None:
        number = self.one(which, "GRANTED")
        if number is not None:
            self.step("unpark", number)

    @rule(later=st.sampled_from([0, 1, 2, 7]))
    def round(self, later: int) -> None:
        self.step("round", later)


class CoreWithRemotePools(CoreAgainstModel):
    """The same with external limits: earmarks, remote grants and refusals."""

    limits = st.lists(st.tuples(CAPACITY, st.booleans(), st.just(True), st.booleans()), min_size=2, max_size=3)

    @precondition(lambda self: self.watch is not None and self.pair.model.claims)
    @rule(which=WHICH, verb=st.sampled_from(["remote_grant", "remote_grant", "remote_refuse"]), asked=st.booleans())
    def answer(self, which: int, verb: str, asked: bool) -> None:
        model = self.pair.model
        marked = [model.number(waiter.main) for waiter in model.admission.hall.earmarks()] if asked else []
        there = marked or list(model.claims)
        step: Step = (verb, there[which % len(there)])
        self.step(*step)


MACHINES = (CoreAgainstModel, CoreWithRemotePools)
QUICK = settings(max_examples=25, stateful_step_count=25, suppress_health_check=list(HealthCheck))
LONG = settings(max_examples=400, stateful_step_count=60, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("machine", MACHINES)
def test_the_core_decides_as_the_model(machine: type[CoreAgainstModel]) -> None:
    """Whatever happens to limits and claims, the core grants what the model grants, and the invariants hold."""
    run_state_machine_as_test(machine, settings=QUICK)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("machine", MACHINES)
def test_the_core_decides_as_the_model_for_long(machine: type[CoreAgainstModel]) -> None:
    """The same in longer histories, and more of them."""
    run_state_machine_as_test(machine, settings=LONG)
