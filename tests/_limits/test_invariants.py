"""Each invariant is broken on purpose, on both sides alike, and must be reported.

Both sides of the pair are the slow model with the same fault planted, so they agree, and nothing but the invariant
itself can tell. `test_planted_faults.py` plants faults in the fast core instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from asyncflow._limits.audit import fitting, hall, order
from asyncflow._limits.audit.hall import Hall
from asyncflow._limits.audit.waiter import Limit
from tests._limits import model
from tests._limits.pair import MODEL
from tests._limits.walker import HistoryError, walk

TRIED = 400

Patch = pytest.MonkeyPatch


def one_too_many(patch: Patch) -> None:
    """Limits have one unit more than they have."""
    patch.setattr(Hall, "usable", lambda self, limit: max(0, limit.free + 1 - self.earmarked(limit)))


def paused_goes_on(patch: Patch) -> None:
    """A pause is forgotten where units are looked for."""

    def free(limit: Limit) -> int:
        return 2**62 if limit.capacity is None else max(0, limit.capacity - limit.held)

    patch.setattr(Limit, "free", property(free))


def part_of_a_demand(patch: Patch) -> None:
    """A grant takes one unit less of its first limit."""
    opened = Hall._open

    def take_less(self: Hall, claim: Any, own: Any, loans: Any) -> None:
        opened(self, claim, own, loans)
        for limit, amount in self.books.own[claim].items():
            self.books.own[claim][limit] = max(0, amount - 1)
            break

    patch.setattr(Hall, "_open", take_less)


def kept_after_the_end(patch: Patch) -> None:
    """The end of a grant gives back one unit less than it had."""
    recount = Hall.recount

    def forget(self: Hall) -> None:
        recount(self)
        if self.now > 5:
            self.limits[0].held += 1

    patch.setattr(Hall, "recount", forget)


def foreign_release(patch: Patch) -> None:
    """A refused release frees a unit all the same."""
    release = Hall.release

    def free(self: Hall, claim: Any, limits: Any = None) -> None:
        if claim not in self.books.own:
            self.limits[0].held -= 1
        release(self, claim, limits)

    patch.setattr(Hall, "release", free)


def lost_wake_up(patch: Patch) -> None:
    """A round in an odd nanosecond starts one claim at most."""
    pick = order.pick

    def stop_early(there: Hall) -> Any:
        started = any(claim.granted_at == there.now for claim in there.books.own)
        return None if started and there.now % 2 else pick(there)

    patch.setattr(model, "pick", stop_early)


def nobody_gathers(patch: Patch) -> None:
    """Starts are not counted."""
    patch.setattr(hall, "count_start", lambda *_: None)


def the_oldest_is_not_counted(patch: Patch) -> None:
    """Counter B is missing; counter A alone keeps no promise to those who are not first in order."""
    patch.setattr("asyncflow._limits.audit.counting.count_for_oldest", lambda *_: None)


def reservations_ignored(patch: Patch) -> None:
    """What is reserved may be taken by anybody."""
    patch.setattr(fitting, "respected", lambda *_: 0)


def reservation_left_behind(patch: Patch) -> None:
    """A gatherer that was withdrawn leaves its reservation."""
    end_round = Hall.end_round

    def keep(self: Hall) -> Any:
        before = [limit.reserved for limit in self.limits]
        out = end_round(self)
        for limit, reserved in zip(self.limits, before, strict=True):
            limit.reserved = max(limit.reserved, reserved)
        return out

    patch.setattr(Hall, "end_round", keep)


def remainder_lost(patch: Patch) -> None:
    """What is left over when time is shared is charged to nobody."""

    def waits(claim: Any) -> dict[str, int]:
        out: dict[str, int] = {}
        for short, elapsed in claim.ledger.items():
            for limit in short:
                out[limit.name] = out.get(limit.name, 0) + elapsed // len(short)
        return out

    patch.setattr(MODEL.claim, "waits", waits)


FAULTS: list[tuple[Callable[[Patch], None], str]] = [
    (one_too_many, "S1"),
    (paused_goes_on, "S1"),
    (part_of_a_demand, "S2"),
    (kept_after_the_end, "S3"),
    (foreign_release, "S3"),
    (lost_wake_up, "left behind"),
    (nobody_gathers, "L3"),
    (the_oldest_is_not_counted, "L3"),
    (reservations_ignored, "lost some"),
    (reservation_left_behind, "L6"),
    (remainder_lost, "sum to"),
]


@pytest.mark.parametrize(("plant", "sign"), FAULTS, ids=[plant.__name__ for plant, _ in FAULTS])
def test_a_broken_invariant_is_reported(plant: Callable[[Patch], None], sign: str, monkeypatch: Patch) -> None:
    """With the fault on both sides, some history breaks the invariant that it concerns, and says so."""
    plant(monkeypatch)
    reports: list[str] = []
    for seed in range(TRIED):
        try:
            walk(seed, MODEL)
        except HistoryError as failure:
            reports.append(str(failure))
            if sign in reports[-1]:
                return
            if len(reports) > 10:
                break
    raise AssertionError(f"no history reported {sign!r}; reported was: {reports[:2]}")
