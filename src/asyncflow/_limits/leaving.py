"""How waiters leave the queue, or lose what set them apart in it."""

from __future__ import annotations

from asyncflow._limits.claim import Claim, ClaimState
from asyncflow._limits.gatherer import Gatherer
from asyncflow._limits.role import Role
from asyncflow._limits.state import State


def promote(state: State, claim: Claim) -> Gatherer:
    """A waiter was passed too often: it gathers from now on, and no other ghost of its run does."""
    gatherer = state.gathering.add(claim, state.seats.class_of(claim.asked))
    Role.of(claim).gatherer = gatherer
    state.queue.set_apart(claim)
    ghost = claim.ghost
    if ghost is not None:
        ghost.family.gatherer = ghost
        _move_siblings(state, claim)
    return gatherer


def demote(state: State, claim: Claim) -> None:
    """A waiter gathers no more; it does not go back to the heap of its cell by this."""
    role = claim.role
    if role is None or role.gatherer is None:
        return
    state.gathering.remove(role.gatherer)
    role.gatherer = None
    if claim.ghost is not None:
        claim.ghost.family.gatherer = None
        _move_siblings(state, claim)


def _move_siblings(state: State, claim: Claim) -> None:
    """Other ghosts of the run are counted again, or no more."""
    if claim.ghost is not None:
        for ghost in claim.ghost.family.ghosts:
            if ghost.run is not claim and ghost.run.cell is not None:
                state.queue.move(ghost.run)


def take_out(state: State, claim: Claim) -> None:
    """Takes a waiter that rounds know out of the queue, with all that was kept for it."""
    role = claim.role
    if role is not None:
        if role.earmark is not None:
            state.earmarks.remove(claim)
        demote(state, claim)
    state.queue.leave(claim)


def dismiss(state: State, claim: Claim, end: ClaimState) -> None:
    """A waiter goes away without having started; of a ghost, both halves."""
    if claim.cell is not None:
        close_bill(claim, state.now)
        take_out(state, claim)
    for bill in claim.past or ():
        bill.settle(state.now)
    for one in [claim] if claim.ghost is None else claim.ghost.claims:
        one.state = end
        one.bill, one.past = claim.bill, claim.past
        one.granted_at = state.now


def close_bill(claim: Claim, now: int) -> None:
    """A waiter that rounds know leaves: takes the last reading, if it waited at all."""
    if claim.bill is not None:
        if claim.enqueued_at == now and claim.past is None:
            claim.bill = None
        else:
            claim.bill.attach(claim.asked)
            claim.bill.settle(now)


def stand_again(state: State, claim: Claim) -> None:
    """A waiter that stood apart goes back to the heap of its cell, unless something else sets it apart."""
    role, cell = claim.role, claim.cell
    if cell is None:
        return
    if role is not None and role.gatherer is not None:
        state.gathering.compute([role.gatherer])
    if role is None or not role.apart:
        state.queue.stand(claim, cell)


def restart_counts(claim: Claim) -> None:
    """A change of demand or priority: it has been passed by nobody."""
    Role.of(claim).passed.clear()
