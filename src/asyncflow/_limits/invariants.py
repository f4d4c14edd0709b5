"""The self-check: what is kept beside grants and waiters is recomputed from them and compared."""

from __future__ import annotations

from collections.abc import Iterator

from asyncflow._limits.band import Band
from asyncflow._limits.cell import Cell
from asyncflow._limits.claim import GRANTED
from asyncflow._limits.demand import Demand
from asyncflow._limits.group import Group
from asyncflow._limits.holding import holds_something
from asyncflow._limits.limit import Limit
from asyncflow._limits.room import Room
from asyncflow._limits.seats import required_of
from asyncflow._limits.state import State
from asyncflow.errors import AdmissionError


def audit(state: State) -> None:
    """Compares everything that is kept with what it follows from.

    Raises:
        AdmissionError: with all that differs.
    """
    wrong = [*_units(state), *_loans(state), *_cells(state), *_crowds(state)]
    if wrong:
        raise AdmissionError("the admission core has drifted: " + "; ".join(wrong))


def _units(state: State) -> Iterator[str]:
    held: dict[Limit, int] = dict.fromkeys(state.limits, 0)
    shares: dict[tuple[Group, Limit], int] = {}
    for claim in state.books.granted:
        if claim.state is not GRANTED:
            yield f"{claim!r} is among the grants"
        for limit, _ in claim.demand.needs:
            own = claim.own_of(limit)
            held[limit] += own
            if limit.named:
                shares[claim.party.group, limit] = shares.get((claim.party.group, limit), 0) + own
    for limit, units in held.items():
        if limit.held != units:
            yield f"{limit.name} says {limit.held} held, its grants own {units}"
        ceiling = limit.ceiling
        limit.settle()
        if limit.ceiling != ceiling:
            yield f"{limit.name} had the ceiling {ceiling}, it is {limit.ceiling}"
    for (group, limit), units in shares.items():
        if group.stake(limit).held != units:
            yield f"group {group.key!r} says {group.stake(limit).held} of {limit.name} held, its grants own {units}"


def _loans(state: State) -> Iterator[str]:
    for claim in state.books.granted:
        holding = claim.holding
        if holding is None:
            continue
        for limit, amount in holding.asked.items():
            if holding.own.get(limit, 0) + holding.borrowed_of(limit) < amount:
                yield f"{claim!r} has less of {limit.name} than the {amount} it asked for"
            if holding.lent_of(limit) > holding.own.get(limit, 0) + holding.borrowed_of(limit):
                yield f"{claim!r} lent more of {limit.name} than it has"
        for loan in holding.lent:
            if loan.borrower.holding is None or loan not in loan.borrower.holding.borrowed:
                yield f"{loan!r} is in one book only"


def _cells(state: State) -> Iterator[str]:
    """I1 to I4 of `queue`."""
    if state.books.changed or state.books.risen or state.lending.stale or state.due:
        return  # between a stimulus and its round sleepers may sleep on
    for cell in state.queue.cells:
        if cell.nested is not any(holds_something(source) for source in cell.sources):
            yield f"{cell!r} thinks nested is {cell.nested}"
        if cell.lane is None or cell.head() is None:
            continue
        band = cell.lane.band
        if cell.room is not None:
            yield from _parked(cell, cell.room)
        elif cell.queued is None:
            yield f"I1: {cell!r} stands nowhere"
        elif not band.awake and band.hung is None:
            yield f"I3: {band!r} sleeps beside {cell!r}"
        yield from _hung(band)
        if cell.nested:
            required = required_of(cell)
            if tuple(sorted([*band.named, *cell.fine], key=lambda need: need[0].seq)) != required:
                yield f"{cell!r} needs {required}, not {band.named} and {cell.fine}"


def _hung(band: Band) -> Iterator[str]:
    limit = band.hung
    if limit is not None and limit.crowd is not None and limit.crowd.available(band.view) >= limit.crowd.hung[band]:
        yield f"I3: {band!r} is hung on {limit.name}, which has room"


def _parked(cell: Cell, room: Room) -> Iterator[str]:
    if not room.has_room():
        return
    stands = room.representative
    mine = cell.head()
    best = None if stands is None else stands.head()
    if mine is not None and (best is None or mine < best):
        yield f"I2/I4: {cell!r} is parked at {room.crowd.limit.name}, which has room and no better representative"


def _crowds(state: State) -> Iterator[str]:
    asking: dict[Limit, set[Demand]] = {}
    waiting_of: dict[Group, int] = {}
    for cell in state.queue.cells:
        waiting = len(cell.standing()) + len([claim for claim in state.queue.apart if claim.cell is cell])
        if waiting != cell.size:
            yield f"{cell!r} has {waiting} waiters"
        for limit, _ in cell.demand.needs:
            asking.setdefault(limit, set()).add(cell.demand)
        waiting_of[cell.group] = waiting_of.get(cell.group, 0) + cell.size
    for limit in state.limits:
        known: set[Demand] = set() if limit.crowd is None else set(limit.crowd.demands)
        if known != asking.get(limit, set()):
            yield f"{len(known)} demands are known at {limit.name}, {len(asking.get(limit, ()))} ask for it"
    for group, size in waiting_of.items():
        if group.waiting != size:
            yield f"group {group.key!r} counts {group.waiting} waiting, there are {size}"
