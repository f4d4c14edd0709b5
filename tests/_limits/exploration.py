"""All states of three waiters on two limits, each expanded once, every grant compared with the model.

A *place* is what the rules can see of a state between two rounds: capacities, who waits (oldest first) for what, who
gathers, what is held. Two histories that meet in one place go on alike, so the place is expanded from the first of
them only. In each place every stimulus is tried: the next waiter with each demand, a withdrawal of each waiter, a
release of each holder, and while resizes are left each new capacity of each limit; after each a round. The model is
put into the place directly; the core gets there by the history that found it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import product

from asyncflow._limits.audit import Claim, State, Waiter
from tests._limits.model import ModelAdmission
from tests._limits.pair import DifferenceError, Kit, NeedIds, Setup, Side, Step

WAITERS, RESIZES, MOST = 3, 2, 2
CAPACITIES = range(MOST + 1)
DEMANDS: tuple[NeedIds, ...] = tuple(
    tuple((limit, amount) for limit, amount in enumerate(amounts) if amount)
    for amounts in product(range(MOST + 1), repeat=2)
)


@dataclass(frozen=True, slots=True)
class Variant:
    """What is the same in all states of one exploration."""

    max_overtakes: int = 64
    newest_first: bool = False  # the order inside the run is against age
    fair: bool = True

    def order(self, number: int) -> int:
        """The order of the waiter with this number inside its run."""
        return -number if self.newest_first else 0


@dataclass(frozen=True, slots=True)
class Place:
    """A state between two rounds; `waiting` is oldest first, with the rank among gatherers or -1."""

    capacities: tuple[int, int]
    resizes: int
    to_come: int
    waiting: tuple[tuple[NeedIds, int], ...]
    held: tuple[NeedIds, ...]


@dataclass(slots=True)
class Visit:
    """How a place was found: the first capacities, the steps, and the numbers of those who wait and hold."""

    origin: tuple[int, int]
    steps: tuple[Step, ...]
    waiting: tuple[int, ...] = ()
    held: tuple[int, ...] = ()


@dataclass(slots=True)
class Explored:
    """What was explored."""

    places: int = 0
    decisions: int = 0
    starts: int = 0


def explore(kit: Kit, variant: Variant) -> Explored:
    """Explores everything that can be reached from two idle limits of any capacities.

    Raises:
        DifferenceError: with the shortest history on which model and core grant differently.
    """
    origins = list(product(CAPACITIES, repeat=2))
    found = {Place((one, two), RESIZES, WAITERS, (), ()): Visit((one, two), ()) for one, two in origins}
    todo = deque(found)
    explored = Explored()
    while todo:
        place = todo.popleft()
        explored.places += 1
        for step in steps_from(place, found[place]):
            expected, after, visit = decide(variant, place, found[place], step)
            actual = replay(kit, variant, visit)
            explored.decisions += 1
            explored.starts += len(expected)
            if actual != expected:
                raise DifferenceError(f"{variant} {visit}: granted by the model {expected}, by the {kit.name} {actual}")
            if after not in found:
                found[after] = visit
                todo.append(after)
    return explored


def steps_from(place: Place, visit: Visit) -> list[Step]:
    """Every stimulus that is possible in a place."""
    steps: list[Step] = [("withdraw", number) for number in visit.waiting]
    steps += [("release", number) for number in visit.held]
    if place.to_come:
        steps += [("enqueue", WAITERS - place.to_come, needs) for needs in DEMANDS]
    if place.resizes:
        for limit, now in enumerate(place.capacities):
            steps += [("resize", limit, capacity) for capacity in CAPACITIES if capacity != now]
    return steps


def decide(variant: Variant, place: Place, visit: Visit, step: Step) -> tuple[list[int], Place, Visit]:
    """Lets the model decide: the numbers granted, in order, the place after, and how it was found."""
    model, claims = stand(variant, place, visit)
    limits = model.hall.limits
    if step[0] == "enqueue":
        _, number, needs = step
        demand = model.demand([(limits[limit], amount) for limit, amount in needs])
        party = next(iter(claims.values())).party if claims else model.party(model.group("run"))
        claims[number] = Claim(party, demand, variant.order(number), number)
        model.enqueue(claims[number])
    elif step[0] == "resize":
        model.resize(limits[step[1]], step[2])
    elif step[0] == "release":
        model.release(claims[step[1]])
    else:
        model.withdraw(claims[step[1]])
    granted = [int(str(claim.owner)) for claim in model.admit(0)]
    after, waiting, held = place_of(model, place, step)
    return granted, after, Visit(visit.origin, (*visit.steps, step), waiting, held)


def stand(variant: Variant, place: Place, visit: Visit) -> tuple[ModelAdmission, dict[int, Claim]]:
    """A model that stands in a place."""
    model = ModelAdmission(max_overtakes=variant.max_overtakes, fair=variant.fair)
    hall = model.hall
    limits = [model.limit(f"l{number}", capacity) for number, capacity in enumerate(place.capacities)]
    party = model.party(model.group("run"))
    claims: dict[int, Claim] = {}

    def claim(number: int, needs: NeedIds, state: State) -> Claim:
        demand = model.demand([(limits[limit], amount) for limit, amount in needs])
        claims[number] = Claim(party, demand, variant.order(number), number, None, state, hall.number("claim"), 0)
        return claims[number]

    for number, needs in zip(visit.held, place.held, strict=True):
        one = claim(number, needs, State.GRANTED)
        one.granted_at = 0
        one.holds = dict(one.demand.needs)
        hall.books.own[one] = dict(one.demand.needs)
    for number, (needs, rank) in zip(visit.waiting, place.waiting, strict=True):
        waiter = Waiter([claim(number, needs, State.WAITING)], seen=True)
        waiter.promoted, waiter.announced = (None, False) if rank < 0 else (rank, True)
        hall.waiting.append(waiter)
    for _ in place.waiting:
        hall.number("promotion")  # later gatherers come behind those that stand here
    hall.recount()
    return model, claims


def place_of(model: ModelAdmission, before: Place, step: Step) -> tuple[Place, tuple[int, ...], tuple[int, ...]]:
    """The place in which a model stands after a step, and the numbers of those who wait and hold there."""
    hall = model.hall
    places = {limit: number for number, limit in enumerate(hall.limits)}

    def ids(claim: Claim) -> NeedIds:
        return tuple((places[limit], amount) for limit, amount in claim.demand.needs)

    ranks = {claim: rank for rank, claim in enumerate(model.gatherers())}
    waiting = sorted(hall.waiting, key=lambda waiter: waiter.main.seq)
    held = sorted((ids(claim), int(str(claim.owner))) for claim in hall.books.own)
    capacities = [limit.capacity or 0 for limit in hall.limits]
    place = Place(
        (capacities[0], capacities[1]),
        before.resizes - (step[0] == "resize"),
        before.to_come - (step[0] == "enqueue"),
        tuple((ids(waiter.main), ranks.get(waiter.main, -1)) for waiter in waiting),
        tuple(needs for needs, _ in held),
    )
    return place, tuple(int(str(waiter.main.owner)) for waiter in waiting), tuple(number for _, number in held)


def replay(kit: Kit, variant: Variant, visit: Visit) -> list[int]:
    """Drives a core through a history, a round after each step; returns what the last round granted."""
    limits = tuple((capacity, True, True, False) for capacity in visit.origin)
    setup = Setup(variant.max_overtakes, variant.fair, limits=limits, weights=(1.0,), parties=((0, 0),))
    side = Side(kit, setup)
    granted: list[int] = []
    for step in visit.steps:
        if step[0] == "enqueue":
            side.apply(("enqueue", step[1], 0, step[2], variant.order(step[1]), -1))
        else:
            side.apply(step)
        granted = side.apply(("round", 0))
    return granted
