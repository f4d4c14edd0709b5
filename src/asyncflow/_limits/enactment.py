"""Making proposed changes, all or none: the whole list is checked against a core before the first is made.

The check walks through the list as making it would, and remembers what would be made and gone by then, so a claim that
is released twice, or rematched after it was withdrawn, is refused with the number of the change. The same code makes
the changes in a core and in its twin, so that a preview cannot mean anything else than what is done later.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from asyncflow._limits.claim import GRANTED, WAITING, Claim
from asyncflow._limits.limit import Limit
from asyncflow._limits.proposal import (
    AnyLimit,
    Changes,
    NewLimit,
    Pause,
    Release,
    Rematch,
    Reprioritise,
    Resize,
    Resume,
    Step,
    Withdraw,
)
from asyncflow.errors import AdmissionError

if TYPE_CHECKING:
    from asyncflow._limits.admission import Admission
    from asyncflow._limits.state import State
    from asyncflow._limits.twin import Twin


def limits_of(step: Step) -> list[AnyLimit]:
    """Returns the limits that a change names."""
    match step:
        case Resize() | Pause() | Resume():
            return [step.limit]
        case Rematch():
            return [limit for limit, _ in step.needs]
        case _:
            return []


def refuse_unfit(state: State, changes: Changes) -> None:
    """Checks that all changes can be made one after another; nothing is changed.

    Raises:
        AdmissionError: with the first that cannot.
    """
    made: set[NewLimit] = set()
    gone: set[Claim] = set()
    for number, step in enumerate(changes.steps, 1):
        if isinstance(step, NewLimit):
            if step in made:
                raise _refusal(number, step, "the limit is made by it already")
            made.add(step)
            continue
        for limit in limits_of(step):
            if limit not in made if isinstance(limit, NewLimit) else limit not in state.limits:
                raise _refusal(number, step, f"there is no limit {limit.name!r} here by then")
        match step:
            case Rematch() if not _lives(state, step.claim, gone):
                raise _refusal(number, step, f"{step.claim!r} neither waits nor holds by then")
            case Release() if step.claim in gone or step.claim not in state.books.granted:
                raise _refusal(number, step, f"{step.claim!r} is not held by then")
            case Withdraw() | Release():
                ghost = step.claim.ghost if step.claim.state is WAITING else None
                gone.update([step.claim] if ghost is None else ghost.claims)
                _refuse_foreign(state, number, step)
            case _:
                pass


def _lives(state: State, claim: Claim, gone: set[Claim]) -> bool:
    return claim not in gone and (claim.state is WAITING or claim in state.books.granted)


def _refuse_foreign(state: State, number: int, step: Withdraw | Release) -> None:
    if step.claim.state is GRANTED and step.claim not in state.books.granted:
        raise _refusal(number, step, f"{step.claim!r} is held elsewhere")


def _refusal(number: int, step: Step, why: str) -> AdmissionError:
    return AdmissionError(f"change {number} ({type(step).__name__}) cannot be made, so none was: {why}")


def enact(core: Admission, changes: Changes, twin: Twin | None = None) -> dict[NewLimit, Limit]:
    """Makes changes that were checked; returns the limits that were made.

    Args:
        core: Where they are made.
        changes: What is to be done.
        twin: Given where `core` decides for a copy: finds the copies of what the changes name.
    """
    made: dict[NewLimit, Limit] = {}

    def here(limit: AnyLimit) -> Limit:
        if isinstance(limit, NewLimit):
            return made[limit]
        return limit if twin is None else twin.limit(limit)

    for step in changes.steps:
        match step:
            case NewLimit():
                made[step] = core.limit(
                    step.name, step.capacity, named=step.named, reentrant=step.reentrant, external=step.external
                )
            case Resize():
                core.resize(here(step.limit), step.capacity)
            case Pause():
                core.pause(here(step.limit))
            case Resume():
                core.resume(here(step.limit))
            case Reprioritise():
                core.reprioritise(step.party if twin is None else twin.party(step.party), priority=step.priority)
            case Rematch() | Withdraw() | Release():
                claim = step.claim if twin is None else twin.claim(step.claim)
                if isinstance(step, Rematch):
                    _rematch(core, claim, [(here(limit), amount) for limit, amount in step.needs])
                elif isinstance(step, Withdraw):
                    core.withdraw(claim)
                else:
                    core.release(claim)
    return made


def _rematch(core: Admission, claim: Claim, needs: Iterable[tuple[Limit, int]]) -> None:
    """Gives a claim another demand; with the one it has it would lose its seniority for nothing."""
    demand = core.demand(needs)
    if demand.needs != claim.demand.needs:
        core.rematch(claim, demand)
