"""A demand: everything a waiter asks for, as one vector; taken whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable

from asyncflow._limits.limit import Limit
from asyncflow.errors import AdmissionError

Needs = tuple[tuple[Limit, int], ...]


class Demand:
    """A vector of (limit, amount); made by `Admission.demand()`, equal vectors are one object.

    Attributes:
        needs: Sorted by `limit.seq`, each limit once, amounts of at least 1.
        named: Its part over named limits: waiters with equal parts form a class.
        fine: The rest.
    """

    __slots__ = ("__weakref__", "fine", "named", "needs")

    def __init__(self, needs: Needs) -> None:
        self.needs = needs
        self.named: Needs = tuple([need for need in needs if need[0].named])
        self.fine: Needs = tuple([need for need in needs if not need[0].named])

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


def _by_seq(need: tuple[Limit, int]) -> int:
    return need[0].seq
