"""A demand: everything a waiter asks for, as one vector; taken whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeAlias

from asyncflow._limits.limit import Limit
from asyncflow.errors import AdmissionError

if TYPE_CHECKING:
    from asyncflow._limits.band import NeedClass
    from asyncflow._limits.cell import Cell
    from asyncflow._limits.ledger import Account, Reading
    from asyncflow._limits.level import Level

Needs: TypeAlias = tuple[tuple[Limit, int], ...]


class Demand:
    """A vector of (limit, amount); made by `Admission.demand()`, equal vectors are one object.

    Attributes:
        needs: Sorted by `limit.seq`, each limit once, amounts of at least 1.
        named: Its part over named limits. Waiters with equal parts form a class.
        fine: The rest.
        local: Its part over limits that are not external.
        external: True where another side has to grant a part.
        remote: Its part over external limits.
        hopeless: True while no waiter of it can start, whoever ends: a limit is paused or smaller than its need.
        cells: Where its claims wait.
        levels: The same by run priority, with what those cells have in common.
        needs_class: Its class in the order; None while nobody waits.
        account: Where the time they wait is charged; None while nobody waits.
        opened: Its reading when somebody began to wait.
    """

    __slots__ = (
        "__weakref__",
        "account",
        "cells",
        "external",
        "fine",
        "hopeless",
        "levels",
        "local",
        "named",
        "needs",
        "needs_class",
        "opened",
        "remote",
    )

    def __init__(self, needs: Needs) -> None:
        self.needs = needs
        self.named: Needs = tuple([need for need in needs if need[0].named])
        self.fine: Needs = tuple([need for need in needs if not need[0].named])
        self.local: Needs = tuple([need for need in needs if not need[0].external])
        self.remote: Needs = tuple([need for need in needs if need[0].external])
        self.external = bool(self.remote)
        self.hopeless = False
        self.cells: dict[Cell, None] = {}
        self.levels: dict[int, Level] = {}
        self.needs_class: NeedClass | None = None
        self.account: Account | None = None
        self.opened: Reading = ()

    def amount(self, limit: Limit) -> int:
        """Returns how many units of `limit` it asks for."""
        for one, amount in self.needs:
            if one is limit:
                return amount
        return 0

    @property
    def key(self) -> tuple[tuple[int, int], ...]:
        """What it is known by: the numbers of its limits, and the amounts."""
        return key_of(self.needs)

    def judge(self) -> bool:
        """Returns whether nobody can start with it now, whoever ends."""
        for limit, amount in self.needs:
            if limit.paused or (limit.capacity is not None and limit.capacity < amount):
                return True
        return False

    def __repr__(self) -> str:
        return f"<demand {', '.join(f'{limit.name}×{amount}' for limit, amount in self.needs) or 'nothing'}>"


def vector(needs: Iterable[tuple[Limit, int]]) -> Needs:
    """Returns needs with each limit once, amounts summed, in canonical order.

    Raises:
        AdmissionError: for an amount below 1.
    """
    total: dict[Limit, int] = {}
    for limit, amount in needs:
        if amount < 1:
            raise AdmissionError(f"a demand asks for {amount} of {limit.name!r}; ask for at least 1, or leave it out")
        total[limit] = total.get(limit, 0) + amount
    return tuple(sorted(total.items(), key=_by_seq))


def key_of(needs: Needs) -> tuple[tuple[int, int], ...]:
    """Returns what a vector is known by."""
    return tuple([(limit.seq, amount) for limit, amount in needs])


def _by_seq(need: tuple[Limit, int]) -> int:
    return need[0].seq
