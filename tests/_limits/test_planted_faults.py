"""Faults planted in the fast core, one at a time: each must be noticed by the self-check or by the walker.

A fault that no history notices is a hole in the tests. The self-check names the invariants of the queue, I1 to I4.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from asyncflow._limits import admission, choice
from asyncflow._limits import round as rounds
from asyncflow._limits.band import Band, Lane
from asyncflow._limits.books import Books
from asyncflow._limits.crowd import Crowd
from asyncflow._limits.deadlock import Reduction
from asyncflow._limits.earmark import Earmarks
from asyncflow._limits.gathering import Gathering
from asyncflow._limits.ledger import Ledger
from asyncflow._limits.lending import Lending
from asyncflow._limits.line import Line
from asyncflow._limits.queue import Queue
from asyncflow._limits.room import Room
from asyncflow.errors import AdmissionError
from tests._limits.core_kit import CORE
from tests._limits.histories import Historian
from tests._limits.pair import MODEL, DifferenceError, Mode, Pair, Setup, Side, Step, attempt
from tests._limits.walker import HistoryError, replay, walk

TRIED = 1_200
CHECKED = 320
NOTICED = (DifferenceError, AdmissionError)
"""What notices: the walker, and the self-check that it calls. A core that breaks down some other way has no merit."""

Patch = pytest.MonkeyPatch
Plant = Callable[[Patch], None]


def nothing(owner: Any, name: str, result: Any = None) -> Plant:
    """Replaces a method by one that does nothing."""
    return lambda patch: patch.setattr(owner, name, lambda *_, **__: result)


def everywhere(name: str, planted: Any) -> Plant:
    """Replaces a function in every module of the core that uses it."""

    def plant(patch: Patch) -> None:
        users = [
            module
            for path, module in sys.modules.items()
            if path.startswith("asyncflow._limits.") and ".audit" not in path and hasattr(module, name)
        ]
        assert users, f"nobody uses {name}"
        for module in users:
            patch.setattr(module, name, planted)

    return plant


# -------------------------------------------------------------------------------------------------------------- units
def off_by_one(method: str, units: int) -> Plant:
    """The first limit of a grant says `units` more are held than that, after a `grant` or an `end`."""

    def plant(patch: Patch) -> None:
        right = getattr(Books, method)

        def wrong(self: Books, claim: Any, *rest: Any) -> None:
            needs = claim.demand.needs
            right(self, claim, *rest)
            if needs:
                needs[0][0].held += units

        patch.setattr(Books, method, wrong)

    return plant


def refused_and_done(patch: Patch) -> None:
    """A release by who holds nothing is refused, and frees a unit all the same."""
    release = admission.Admission.release

    def free(self: Any, claim: Any, limits: Any = None) -> None:
        try:
            release(self, claim, limits)
        except AdmissionError:
            for limit, _ in claim.demand.needs:
                limit.held -= 1
            raise

    patch.setattr(admission.Admission, "release", free)


def released_twice(patch: Patch) -> None:
    """A release by who holds nothing is not refused."""
    release = admission.Admission.release

    def twice(self: Any, claim: Any, limits: Any = None) -> None:
        try:
            release(self, claim, limits)
        except AdmissionError:
            return

    patch.setattr(admission.Admission, "release", twice)


def paused_goes_on(patch: Patch) -> None:
    """A pause is forgotten at once."""
    at_once = admission.Admission.pause
    patch.setattr(admission.Admission, "pause", lambda self, limit: (at_once(self, limit), self.resume(limit))[0])


def lends_again(claim: Any, limit: Any) -> int:
    """What a claim lent counts as there to lend again."""
    if claim.state.name != "GRANTED" or not limit.reentrant:
        return 0
    return int(claim.own_of(limit) + claim.borrowed_of(limit))


def lender_takes_all(patch: Patch) -> None:
    """A lender that ends takes back what it lent, and its borrowers go on with nothing."""
    patch.setattr(Books, "_insert", lambda *_: None)
    own = Books._own
    patch.setattr(Books, "_own", lambda self, claim, limit, units: own(self, claim, limit, min(0, units)))


# ----------------------------------------------------------------------------------------------- places in the order
def parked_and_awake(patch: Patch) -> None:
    """A parked cell is told nowhere that it is parked."""
    park = Room.park

    def forget(self: Room, cell: Any, entry: Any) -> None:
        park(self, cell, entry)
        cell.room = cell.queued = None

    patch.setattr(Room, "park", forget)


def representative_not_replaced(patch: Patch) -> None:
    """When the one that stands for a waiting room leaves, no other wakes."""

    def retire(self: Room, cell: Any) -> None:
        cell.represents = self.representative = None

    patch.setattr(Room, "retire", retire)


def better_head_not_heard(patch: Patch) -> None:
    """A better waiter in a parked cell is parked with it."""
    patch.setattr(Room, "hear", Room.park)


def band_sleeps_on(patch: Patch) -> None:
    """Units that come back wake the rooms of a limit and not the bands hung on it."""

    def rise(limits: Any) -> None:
        for limit in limits:
            for room in list(limit.crowd.rooms.values()) if limit.crowd is not None else ():
                room.open()

    patch.setattr(Queue, "rise", staticmethod(rise))


def room_sleeps_on(patch: Patch) -> None:
    """Units that come back wake nobody in waiting rooms."""
    patch.setattr(Room, "open", lambda _: None)


def fits_too_easily(patch: Patch) -> None:
    """A band is not asked whether its named limits have room."""
    best = Band.best

    def careless(self: Band) -> Any:
        named, self.named = self.named, ()
        try:
            return best(self)
        finally:
            self.named = named

    patch.setattr(Band, "best", careless)


def worse_first(patch: Patch) -> None:
    """Of the bests of two classes the later one starts."""
    before = choice.Choice.before
    patch.setattr(choice.Choice, "before", lambda self, other: not before(self, other))


# ---------------------------------------------------------------------------------------------------------- gathering
def gatherers_ignored(patch: Patch) -> None:
    """What is kept for a gatherer is there for everybody."""
    patch.setattr(Crowd, "available", lambda self, _view: self.limit.room)


def gatherers_unordered(patch: Patch) -> None:
    """Who was promoted last comes first."""
    add = Gathering.add

    def reversed_add(self: Gathering, claim: Any, home: Any, *, number: int | None = None) -> Any:
        if number is None:
            self.promotions += 1
            number = -self.promotions
        return add(self, claim, home, number=number)

    patch.setattr(Gathering, "add", reversed_add)


def shrunk_reservation_not_told(patch: Patch) -> None:
    """A reservation that shrinks wakes nobody."""
    rewrite = Gathering._rewrite

    def silent(self: Gathering, gatherer: Any, kept: Any) -> Any:
        later = rewrite(self, gatherer, kept)
        self.risen = []
        return later

    patch.setattr(Gathering, "_rewrite", silent)


# ----------------------------------------------------------------------------------------------------------- the rest
def siblings_stay(patch: Patch) -> None:
    """When a ghost starts, the others of its run stay."""
    dismiss = rounds.dismiss

    def stay(state: Any, claim: Any, end: Any) -> None:
        if end.name != "WITHDRAWN":
            dismiss(state, claim, end)

    patch.setattr(rounds, "dismiss", stay)


FAULTS: list[tuple[str, Plant]] = [
    ("a start books a unit too few", off_by_one("grant", -1)),
    ("an end forgets a unit", off_by_one("end", 1)),
    ("an end frees a unit too many", off_by_one("end", -1)),
    ("a foreign release is not refused", released_twice),
    ("a refused release counts", refused_and_done),
    ("a pause is forgotten", paused_goes_on),
    ("a unit is lent twice", everywhere("lendable", lends_again)),
    ("a lender takes all back", lender_takes_all),
    ("a lender tells nobody", nothing(Books, "_tell")),
    ("a parked cell is in no place", parked_and_awake),
    ("no next representative", representative_not_replaced),
    ("a room sleeps on", room_sleeps_on),
    ("a band sleeps on", band_sleeps_on),
    ("a better head is not heard", better_head_not_heard),
    ("a band is not asked for room", fits_too_easily),
    ("standings that became better are not put right", nothing(Lane, "lower")),
    ("the worse of two starts", worse_first),
    ("nobody is counted", everywhere("count_start", lambda *_: [])),
    ("the oldest is not counted", nothing(Line, "oldest")),
    ("gatherers are ignored", gatherers_ignored),
    ("gatherers in another order", gatherers_unordered),
    ("a shrunk reservation is no stimulus", shrunk_reservation_not_told),
    ("scarcity is not looked at again after a resize", nothing(Gathering, "resort")),
    ("who can fit again is not told", nothing(Queue, "judge", ())),
    ("siblings of a ghost stay", siblings_stay),
    ("service is not raised", nothing(Crowd, "raise_service")),
    ("service is not added", nothing(Books, "serve")),
    ("deadlocks are not seen", nothing(Reduction, "youngest")),
    ("a pool that never lends is not refused", everywhere("never_fits", lambda *_: False)),
    ("earmarks that do not fit stay", nothing(Earmarks, "unfit", ())),
    ("earmarks never mature", nothing(Earmarks, "mature", ())),
    ("edges outlive their lender", nothing(Lending, "forget")),
    ("the ledger notices nothing", nothing(Ledger, "follow")),
]

DRIFTS: dict[str, str] = {
    "an end forgets a unit": "held",
    "an end frees a unit too many": "held",
    "a unit is lent twice": "lent more",
    "a lender takes all back": "has less",
    "a parked cell is in no place": "I1",
    "no next representative": "I2/I4",
    "a room sleeps on": "I2/I4",
    "a better head is not heard": "I2/I4",
    "a band sleeps on": "I3",
}
"""What `Admission.check()` says of those faults that make its own state drift."""

# A key frees while the total is full: the first of two cells parked at it wakes and stands for both. Then the other
# cell gets a better waiter, which must wake too. Random histories come here once in thousands.
KEYS = ((1, True, True, False), (1, False, True, False), (1, False, True, False))
BETTER_HEAD = (
    Setup(limits=KEYS, weights=(1.0,), parties=((0, 0),)),
    [
        ("enqueue", 1, 0, ((1, 1),), 0, -1), ("round", 1),
        ("enqueue", 2, 0, ((0, 1), (1, 1)), 5, -1), ("enqueue", 3, 0, ((0, 1), (1, 1), (2, 1)), 6, -1), ("round", 1),
        ("enqueue", 4, 0, ((0, 1),), 0, -1), ("release", 1), ("round", 1),
        ("enqueue", 5, 0, ((0, 1), (1, 1), (2, 1)), 1, -1), ("round", 1),
        ("release", 4), ("round", 1),
    ],
)  # fmt: skip


RARE = {"scarcity is not looked at again after a resize", "standings that became better are not put right"}
"""Faults that many histories do not meet."""


@pytest.mark.parametrize(
    ("what", "plant"),
    [pytest.param(*fault, id=fault[0], marks=[pytest.mark.slow] if fault[0] in RARE else []) for fault in FAULTS],
)
def test_the_walker_notices(what: str, plant: Plant, monkeypatch: Patch) -> None:
    """With the fault in the core, some history differs from the model or breaks an invariant."""
    plant(monkeypatch)
    broken = replay(*BETTER_HEAD, CORE, Mode())
    if isinstance(broken, NOTICED):
        return
    for seed in range(TRIED):
        try:
            walk(seed, CORE)
        except HistoryError as failure:
            if isinstance(failure.__cause__, NOTICED):
                return
            broken = failure.__cause__
    raise AssertionError(f"{what}: not noticed in {TRIED} histories, but {broken!r}")


@pytest.mark.parametrize("what", sorted(DRIFTS))
def test_the_self_check_notices(what: str, monkeypatch: Patch) -> None:
    """With the fault in the core, and nobody to compare with, `check()` says what is broken."""
    histories = [BETTER_HEAD, *(recorded(seed) for seed in range(CHECKED))]
    dict(FAULTS)[what](monkeypatch)
    said: list[str] = []
    for setup, steps in histories:
        found = drift(setup, steps)
        if found is not None and DRIFTS[what] in found:
            return
        said += [] if found is None else [found]
    raise AssertionError(f"{what}: {DRIFTS[what]!r} was not said, but {said[:5]}")


@cache
def recorded(seed: int) -> tuple[Setup, list[Step]]:
    """One history of the walker, as it is without a fault."""
    historian = Historian(seed)
    pair = Pair(historian.setup, MODEL)
    steps: list[Step] = []
    while len(steps) < historian.length:
        for step in historian.steps(pair):
            steps.append(step)
            pair.apply(step)
    return historian.setup, steps


def drift(setup: Setup, steps: list[Step]) -> str | None:
    """Drives the core alone through a history; returns what its self-check says, or what it broke with."""
    side = Side(CORE, setup)
    now = 0
    for step in steps:
        now += step[1] if step[0] == "round" else 0
        try:
            attempt(side, ("round", now) if step[0] == "round" else step)
            side.admission.check()
        except AdmissionError as drifted:
            return str(drifted)
        except Exception as broken:  # a fault may break it in any way
            return repr(broken)
    return None


def test_without_a_fault_nothing_is_reported() -> None:
    """The same histories pass on the core as it is."""
    assert replay(*BETTER_HEAD, CORE, Mode()) is None
    assert [drift(*recorded(seed)) for seed in range(32)] == [None] * 32
    for seed in range(32):
        walk(seed, CORE)
