"""Who waits: groups share fairly, parties are the runs and `slots()` blocks inside them.

A group's *share* of a limit is what its grants own there, per capacity and weight. Its *service* is what they owned
times how long, an integer, added when a grant ends; without it weights would do nothing on a pool of one. Its *turn*
is when it last started something or began to wait, so that arrival counts and newcomers do not starve the old.
"""

from __future__ import annotations

from collections.abc import Hashable

from asyncflow._limits.limit import Limit


class Group:
    """Everything of one `fair_key`; made by `Admission.group()`."""

    __slots__ = ("__weakref__", "held", "key", "seq", "service", "turn", "waiting", "weight")

    def __init__(self, key: Hashable, weight: float, seq: int) -> None:
        self.key = key
        self.weight = weight
        self.seq = seq
        self.turn = 0
        self.waiting = 0
        self.held: dict[Limit, int] = {}
        self.service: dict[Limit, int] = {}

    def __repr__(self) -> str:
        return f"<group {self.key!r} weight={self.weight}>"


class Party:
    """One run or `slots()` block of a group; made by `Admission.party()`."""

    __slots__ = ("arrival", "group", "priority")

    def __init__(self, group: Group, priority: int, arrival: int) -> None:
        self.group = group
        self.priority = priority
        self.arrival = arrival

    def __repr__(self) -> str:
        return f"<party {self.arrival} of {self.group.key!r} priority={self.priority}>"
