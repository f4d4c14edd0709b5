"""Counting starts against those they pass; see `line` for what is counted and why."""

from __future__ import annotations

from asyncflow._limits.claim import Claim
from asyncflow._limits.crowd import Crowd
from asyncflow._limits.gatherer import Gatherer
from asyncflow._limits.leaving import promote
from asyncflow._limits.role import Role
from asyncflow._limits.state import State


def count_start(state: State, starter: Claim) -> list[Gatherer]:
    """Counts a start before it takes its units; returns who gathers from now on because of it."""
    promoted: list[Gatherer] = []
    priority = starter.party.priority
    for limit, _ in starter.asked.local:
        lines = Crowd.of(limit).lines
        for level in sorted(lines, reverse=True) if len(lines) > 1 else tuple(lines):
            if level < priority:
                break
            line = lines[level]
            first = line.first()
            if first is not None and first is not starter and not fits(first):
                line.passed += 1
                if line.passed >= state.max_overtakes:
                    line.passed = 0
                    promoted.append(promote(state, first))
            oldest = line.oldest()
            if oldest is not None and oldest is not starter:
                passed = Role.of(oldest).passed
                passed[limit] = passed.get(limit, 0) + 1
                if passed[limit] >= state.max_overtakes:
                    promoted.append(promote(state, oldest))
    return promoted


def fits(claim: Claim) -> bool:
    """Returns whether a waiter that may not borrow could start now, reservations respected."""
    priority = claim.party.priority
    for limit, amount in claim.asked.needs:
        if limit.room < amount or Crowd.of(limit).available(priority) < amount:
            return False
    return True
