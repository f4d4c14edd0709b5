"""Counting starts against those they pass; see `line` for what is counted and why.

Whoever was passed often enough as the oldest is *ripe*: the next oldest is counted from then on, and what is ripe
gathers at the end of the round. Not before: a round goes on until nobody fits, and who starts in it was not overtaken.
(Where thousands start in one round, every 64 of them would otherwise set one aside who fits.)
"""

from __future__ import annotations

from asyncflow._limits.cell import eligible
from asyncflow._limits.choice import fits_now
from asyncflow._limits.claim import Claim, Entry, Place
from asyncflow._limits.gatherer import Gatherer
from asyncflow._limits.leaving import promote
from asyncflow._limits.limit import Limit
from asyncflow._limits.role import Role
from asyncflow._limits.state import State


def count_start(state: State, starter: Claim, entry: Entry | Place | None) -> list[Gatherer]:
    """Counts a start before it takes its units; returns who gathers from now on because of it.

    Args:
        state: The state.
        starter: Who starts.
        entry: Its place in the order, if it is counted itself; None where it gathered, or was asked for elsewhere.
    """
    promoted: list[Gatherer] = []
    priority = starter.party.priority
    cell = starter.cell
    ripe = starter.role is not None and starter.role.ripe
    sole = entry is not None and cell is not None and cell.level.size == 1 and cell.oldest() is starter
    for limit, _ in starter.asked.local:
        crowd = limit.crowd
        if crowd is None:
            continue
        lines = crowd.lines
        if sole and len(lines) == 1 and lines[priority].levels == 1:
            continue  # it stands before all others, and is older
        for level in sorted(lines, reverse=True) if len(lines) > 1 else tuple(lines):
            if level < priority:
                break
            line = lines[level]
            if promoted and starter.ghost is not None and starter.ghost.overshadowed:
                entry = None  # another ghost of its run gathers since just now
            mine = entry if level == priority else None
            first = line.first()
            if first is not None and (mine is None or first < mine) and not fits_now(first[4]):
                line.passed += 1
                if line.passed >= state.max_overtakes:
                    line.passed = 0
                    promoted.append(promote(state, first[4]))
            if promoted and starter.ghost is not None and starter.ghost.overshadowed:
                mine = None
            oldest = line.oldest()
            if oldest is not None and (mine is None or ripe or oldest.seq < starter.seq):
                _pass(state, oldest, limit)
    return promoted


def _pass(state: State, oldest: Claim, limit: Limit) -> None:
    """The oldest waiter for a limit was passed there; passed often enough, it leaves that place to the next."""
    role = Role.of(oldest)
    starts = role.passed[limit] = role.passed.get(limit, 0) + 1
    if starts >= state.max_overtakes:
        role.ripe = True
        state.ripe[oldest] = None


def promote_ripe(state: State) -> list[Gatherer]:
    """A round is over: who became ripe in it and waits all the same gathers from now on."""
    ripe, state.ripe = state.ripe, {}
    promoted: list[Gatherer] = []
    for claim in ripe:
        cell, role = claim.cell, Role.of(claim)
        role.ripe = False
        if cell is None or role.apart:
            continue
        if eligible(cell):
            promoted.append(promote(state, claim))
        else:
            cell.age(claim)
    return promoted
