"""Changes of what already waits or runs: other capacities, other demands, another place in the order."""

from __future__ import annotations

from asyncflow._limits.claim import Claim
from asyncflow._limits.command import DropTicket
from asyncflow._limits.demand import Demand
from asyncflow._limits.group import Party
from asyncflow._limits.leaving import demote, stand_again, take_out
from asyncflow._limits.limit import Limit
from asyncflow._limits.state import State


def limit_changed(state: State, limit: Limit, *, resized: bool = False) -> None:
    """A limit was paused, resumed or resized: brings everything in line that depends on it."""
    limit.settle()
    state.books.risen.append(limit)
    state.suspicion.compare([limit])
    for demand in state.queue.judge(limit):
        state.gathering.judge(demand)
        for cell in demand.cells:
            if cell.nested:
                state.suspicion.look(cell)
    if resized and limit.crowd is not None:
        state.gathering.resort(limit)
        state.queue.lower([cell for demand in limit.crowd.demands for cell in demand.cells])
    state.due = True


def rematch_waiter(state: State, claim: Claim, demand: Demand, together: Demand) -> None:
    """Gives a waiter another demand: it arrives again, with its old age.

    Args:
        state: The state.
        claim: The waiter, or half of a ghost.
        demand: What it asks for from now on.
        together: The same, with what the other half of the ghost asks for.
    """
    ghost = claim.ghost
    waiter = claim if ghost is None else ghost.run
    if waiter.cell is not None:
        role = waiter.role
        if role is not None and role.earmark is not None:
            state.command(DropTicket(waiter))
        if waiter.bill is not None:
            waiter.bill.attach(waiter.asked)
            waiter.past = [*(waiter.past or ()), waiter.bill]
            state.open_bills.append(waiter.bill)
            waiter.bill = None
        take_out(state, waiter)
        if role is not None:
            role.passed.clear()
        state.arrivals.append(waiter)
    claim.demand = demand
    if ghost is not None:
        ghost.demand = together
    state.due = True


def reprioritise(state: State, party: Party, priority: int) -> None:
    """Gives a party another run priority: its waiters have been passed by nobody yet."""
    party.priority = priority
    for claim in state.queue.waiters_of(party.group):
        if claim.party is party:
            demote(state, claim)
            if claim.role is not None:
                claim.role.passed.clear()
            if claim.entry is None:
                stand_again(state, claim)
            state.queue.move(claim)
    state.due = True


def reorder(state: State, claim: Claim, order: object) -> None:
    """Gives a claim another place inside its run."""
    claim.order = order
    if claim.cell is not None and claim.entry is not None:
        state.queue.set_apart(claim)
        state.queue.stand(claim, claim.cell)
    state.due = True
