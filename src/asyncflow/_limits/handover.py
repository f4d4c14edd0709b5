"""Handing over: the waiters of one cell start one after another, where nobody else could.

This is what a wide map under a cap does in every round: as many ops ended, as many alike start. Nothing but the first
comparison of each tells them apart, so there is no need to look for the best again after each start. Whatever makes
the case less simple (another cell that is awake, somebody who gathers, borrows or is passed) is left to the round.
"""

from __future__ import annotations

from asyncflow._limits.cell import Cell
from asyncflow._limits.claim import Claim
from asyncflow._limits.leaving import close_bill
from asyncflow._limits.seats import Seats
from asyncflow._limits.state import State


def hand_over(state: State, starts: list[Claim]) -> None:
    """Starts waiters of the only cell that is awake, all but its last one, as long as they fit."""
    cell = _only(state.seats)
    if cell is None or state.gathering.gatherers or cell.level.size > 1 or not cell.counted:
        return
    needs = cell.demand.needs
    for line, (limit, _) in zip(cell.level.lines, needs, strict=True):
        if line.levels > 1 or (limit.crowd is not None and len(limit.crowd.lines) > 1):
            return
    books, now, log = state.books, state.now, state.log
    group = cell.group
    while cell.size > 1:
        entry = cell.head()
        if entry is None:
            return
        claim = entry[4]
        if claim.ghost is not None or claim.holding is not None or cell.oldest() is not claim:
            return
        for limit, amount in needs:
            if limit.ceiling - limit.held < amount:
                return
        close_bill(claim, now)
        claim.entry = None
        claim.cell = None
        cell.size -= 1
        group.waiting -= 1
        state.seq += 1
        group.turn = state.seq
        books.grant(claim, now)
        starts.append(claim)
        if log is not None:
            log.started(claim)


def _only(seats: Seats) -> Cell | None:
    """Returns the cell that is awake, if no other waiter is; one that may neither borrow nor ask elsewhere."""
    if len(seats.board) != 1:
        return None
    needs = seats.board[0]
    if len(needs.awake) != 1 or needs.covered or needs.alone:
        return None
    band = needs.awake[0]
    if band.size != 1 or band.view is None:
        return None
    for lane in band.lanes.values():
        cell = lane.newest
        return None if cell is None or cell.demand.external else cell
    return None
