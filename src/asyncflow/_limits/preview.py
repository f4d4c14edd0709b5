"""What proposed changes would do, found out by making them in a twin and letting it decide one round.

A derived answer ("two more slots start two more") is wrong as soon as priorities, shares, gathering or ghosts have a
say, so nothing is derived: the twin decides as the core would at the moment of its last reading. What is told are the
claims of the real core, which knows nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncflow._limits.claim import DEADLOCKED, WAITING, Claim
from asyncflow._limits.enactment import enact, refuse_unfit
from asyncflow._limits.holding import lendable
from asyncflow._limits.proposal import Changes
from asyncflow._limits.twin import Twin

if TYPE_CHECKING:
    from asyncflow._limits.admission import Admission
    from asyncflow._limits.state import State

AdmissionOf = Callable[[Twin], "Admission"]
"""Makes the admission that decides for a twin."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What the next round would decide after some changes. All claims are those of the real core.

    Of a ghost both halves are told. Ghosts of one run stand for themselves: a run that starts by one of them is not
    among `stays`, and one of which only some ghosts are in `never` can still start by another.

    Attributes:
        starts: Who would start, in order.
        starts_anyway: Who would start in that round without the changes too, in order.
        stays: Who would wait on, oldest first.
        never: Those of `stays` whose demand cannot be met under the capacities then in force, whoever ends: one is
            smaller than the need. 0 and a pause only block.
        deadlocks: Who would get a `DeadlockError`.
    """

    starts: tuple[Claim, ...]
    starts_anyway: tuple[Claim, ...]
    stays: tuple[Claim, ...]
    never: tuple[Claim, ...]
    deadlocks: tuple[Claim, ...]


def foresee(state: State, changes: Changes, admission_of: AdmissionOf) -> Preview:
    """Tells what `changes` would do.

    Raises:
        AdmissionError: where they cannot be made.
    """
    refuse_unfit(state, changes)
    anyway: tuple[Claim, ...] = ()
    if state.due or state.arrivals:
        idle = Twin(state)
        anyway = idle.originals(admission_of(idle).admit(state.now))
    twin = Twin(state)
    core = admission_of(twin)
    enact(core, changes, twin)
    waiting = core.waiting_claims()
    starts = core.admit(state.now)
    stays = sorted(core.waiting_claims(), key=_age)
    return Preview(
        starts=twin.originals(starts),
        starts_anyway=anyway,
        stays=twin.originals(stays),
        never=twin.originals(_hopeless(stays)),
        deadlocks=twin.originals([claim for claim in waiting if claim.state is DEADLOCKED]),
    )


def _hopeless(claims: Iterable[Claim]) -> list[Claim]:
    """Returns the waiters that ask for more than there will ever be, what they may borrow included."""
    found: list[Claim] = []
    for claim in claims:
        cell = claim.cell if claim.ghost is None else claim.ghost.run.cell
        sources = () if cell is None or not cell.nested else cell.sources
        for limit, amount in claim.asked.needs if claim.state is WAITING else ():
            if limit.capacity and limit.capacity < amount - sum([lendable(source, limit) for source in sources]):
                found.append(claim)
                break
    return found


def _age(claim: Claim) -> int:
    return claim.seq
