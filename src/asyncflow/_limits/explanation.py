"""Why a claim does not run, and what would help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from asyncflow._limits.claim import ClaimState


@dataclass(frozen=True, slots=True)
class Blocker:
    """One limit that is short for the claim.

    Attributes:
        limit: Its name.
        needed: Units asked for.
        free: Units this claim could have now.
        holders: Owners and units of those who hold it.
        position: How many waiters of this limit stand before it, plus one.
    """

    limit: str
    needed: int
    free: int
    holders: tuple[tuple[Any, int], ...]
    position: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a claim does not run: every limit that is short, and the smallest changes that would start it."""

    state: ClaimState
    blockers: tuple[Blocker, ...]
    unblocked_by: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"{self.state.value}"]
        for one in self.blockers:
            held = ", ".join(f"{owner}×{amount}" for owner, amount in one.holders)
            lines.append(f"  {one.limit}: needs {one.needed}, {one.free} free, position {one.position}; held by {held or 'nobody'}")
        lines.extend(f"  would start with {change}" for change in self.unblocked_by)
        return "\n".join(lines)
