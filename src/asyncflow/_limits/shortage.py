"""What a waiter is short of, read from the same structures that rounds decide by."""

from __future__ import annotations

from dataclasses import dataclass

from asyncflow._limits.claim import Claim
from asyncflow._limits.crowd import Crowd
from asyncflow._limits.holding import lendable
from asyncflow._limits.limit import Limit


@dataclass(frozen=True, slots=True)
class Shortage:
    """A limit that is short for a claim: what it needs, what it could have, and what is kept from it."""

    limit: Limit
    needed: int
    available: int
    kept: int


def shortages(claim: Claim) -> list[Shortage]:
    """Returns every limit that is short for a waiter, in canonical order."""
    waiter = claim if claim.ghost is None else claim.ghost.run
    cell = waiter.cell
    role = waiter.role
    found: list[Shortage] = []
    for limit, needed in waiter.asked.needs:
        room, kept = max(0, limit.room), 0
        if limit.external and (role is None or role.earmark is None):
            if limit.room < needed:
                found.append(Shortage(limit, needed, room, 0))
            continue
        if cell is not None and cell.nested:
            room += sum([lendable(source, limit) for source in cell.sources])
        elif limit.crowd is not None:
            kept = room - max(0, _available(waiter, limit.crowd))
        if room - kept < needed and (role is None or role.earmark is None):
            found.append(Shortage(limit, needed, room - kept, kept))
    return found


def _available(claim: Claim, crowd: Crowd) -> int:
    """Returns what of a limit a waiter that may not borrow could have."""
    gatherer = None if claim.role is None else claim.role.gatherer
    if gatherer is None:
        return crowd.available(claim.party.priority)
    return crowd.limit.room - sum([units for other, units in crowd.kept.items() if other.rank < gatherer.rank])
