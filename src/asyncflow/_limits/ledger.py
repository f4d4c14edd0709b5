"""The ledger: what waiting cost, exactly, without touching waiters.

Between two rounds a waiting demand's time is charged to the limits that were short for it after the first of them, or
to its order where none was. Who waits keeps two readings of running integrals, so a round costs what changed in it.

The integrals of a demand are kept by *set* of short limits, since a limit's part depends on how many others were
short with it. A bit mask over the demand's limits stands for the set. One table per demand would still cost 10,000
updates when a pool with 10,000 keys fills up. So accounts form a tree: an account has one limit more than its parent,
and takes over the parent's time, split by whether its own limit was short, only when it is read or when its own limit
changes. Demands put the limit that most others share first, so that what changes often stands near the root.

All times are integer nanoseconds. A set's time is divided when somebody asks: equal parts, the remainder to the first
limits in canonical order, so the sum is exact.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from asyncflow._limits.crowd import Crowd
from asyncflow._limits.demand import Demand
from asyncflow._limits.limit import Limit

Reading: TypeAlias = tuple[int, ...]
"""The values of an account's table, in the order in which its sets first occurred."""

ORDER = "order"


class Gate:
    """Whether a limit is short for a need, as of the end of the last round."""

    __slots__ = ("accounts", "limit", "need", "short")

    def __init__(self, limit: Limit, need: int) -> None:
        self.limit = limit
        self.need = need
        self.short = False
        self.accounts: dict[Account, None] = {}


class Account:
    """Running integrals over the first limits of a demand.

    Attributes:
        parent: The account with one limit less; None for the root, which only keeps the time.
        gate: Of the limit that it adds.
        limits: All its limits; bit i of a set stands for the i-th.
        children: By the gate that they add.
        uses: Cells that charge to it, and children.
    """

    __slots__ = ("_at", "_bit", "_reading", "_seen", "_table", "children", "gate", "limits", "parent", "uses")

    def __init__(self, parent: Account | None, gate: Gate | None, now: int) -> None:
        self.parent = parent
        self.gate = gate
        self.limits: tuple[Limit, ...] = ()
        self.children: dict[Gate, Account] = {}
        self.uses = 0
        self._at = now
        self._bit = 0
        self._seen: dict[int, int] = {}
        self._table: dict[int, int] = {}
        self._reading: Reading | None = None
        if parent is None or gate is None:
            self._table[0] = now
            return
        self.limits = (*parent.limits, gate.limit)
        self._bit = 1 << len(parent.limits)
        parent.settle(now)
        self._seen = dict(parent._table)
        parent.uses += 1
        parent.children[gate] = self
        gate.accounts[self] = None

    def settle(self, now: int) -> None:
        """Takes over the time that passed, under the sets of short limits that were in force."""
        if self._at == now:
            return
        self._at = now
        self._reading = None
        parent, gate = self.parent, self.gate
        if parent is None or gate is None:
            self._table[0] = now
            return
        parent.settle(now)
        bit = self._bit if gate.short else 0
        table, seen = self._table, self._seen
        for short, total in parent._table.items():
            elapsed = total - seen.get(short, 0)
            if elapsed:
                seen[short] = total
                table[short | bit] = table.get(short | bit, 0) + elapsed

    def read(self, now: int) -> Reading:
        """Returns the integrals; equal readings of one round are one object."""
        self.settle(now)
        if self._reading is None:
            self._reading = tuple(self._table.values())
        return self._reading

    def since(self, before: Reading, now: int) -> dict[int, int]:
        """Returns what was charged after a reading, by set."""
        self.settle(now)
        spent: dict[int, int] = {}
        for place, (short, total) in enumerate(self._table.items()):
            elapsed = total - (before[place] if place < len(before) else 0)
            if elapsed:
                spent[short] = elapsed
        return spent


class Bill:
    """What one waiter waited under one demand: open while it waits, closed afterwards."""

    __slots__ = ("_before", "_demand", "_limits", "_spent", "account")

    def __init__(self, demand: Demand, account: Account, now: int) -> None:
        self.account: Account | None = account
        self._demand = demand
        self._limits = account.limits
        self._before = account.read(now)
        self._spent: dict[int, int] = {}

    def close(self, now: int) -> None:
        """The waiter waits no more under this demand."""
        if self.account is not None:
            self._spent = self.account.since(self._before, now)
            self.account = None
            self._before = ()

    def add_to(self, spent: dict[tuple[Limit, ...], int]) -> None:
        """Adds what was charged, by the limits that were short together."""
        for short, elapsed in self._spent.items():
            limits = [limit for place, limit in enumerate(self._limits) if short >> place & 1]
            blamed = tuple(sorted(limits, key=_seq)) or tuple([limit for limit, _ in self._demand.remote])
            spent[blamed] = spent.get(blamed, 0) + elapsed


def divided(bills: Iterable[Bill]) -> dict[str, int]:
    """Returns what bills charge to each limit, by name: equal parts of what several caused, the rest to the first."""
    spent: dict[tuple[Limit, ...], int] = {}
    for bill in bills:
        bill.add_to(spent)
    waited: dict[str, int] = {}
    for limits, elapsed in spent.items():
        if not limits:
            waited[ORDER] = waited.get(ORDER, 0) + elapsed
            continue
        each, left = divmod(elapsed, len(limits))
        for place, limit in enumerate(limits):
            part = each + (place < left)
            if part:
                waited[limit.name] = waited.get(limit.name, 0) + part
    return waited


class Ledger:
    """The accounts of all demands that somebody waits with."""

    __slots__ = ("root",)

    def __init__(self) -> None:
        self.root = Account(None, None, 0)

    def account_of(self, demand: Demand) -> Account:
        """Returns the account of a demand somebody waits with."""
        return self.root if demand.account is None else demand.account

    def open(self, demand: Demand, now: int) -> None:
        """One more cell charges to a demand's account."""
        account = demand.account
        if account is None:
            account = self.root
            for limit, need in sorted(demand.local, key=_shared):
                crowd = Crowd.of(limit)
                gate = crowd.gates.get(need)
                if gate is None:
                    gate = crowd.gates[need] = Gate(limit, need)
                found = account.children.get(gate)
                account = Account(account, gate, now) if found is None else found
            demand.account = account
        account.uses += 1

    def close(self, demand: Demand) -> None:
        """A cell charges no more; accounts that nobody uses are forgotten."""
        account = demand.account
        if account is None:
            return
        account.uses -= 1
        if not demand.cells:
            demand.account = None
        while not account.uses and account.parent is not None and account.gate is not None:
            gate = account.gate
            del account.parent.children[gate]
            del gate.accounts[account]
            if not gate.accounts and gate.limit.crowd is not None:
                gate.limit.crowd.gates.pop(gate.need, None)
            account = account.parent
            account.uses -= 1

    @staticmethod
    def follow(limits: list[Limit], now: int) -> None:
        """At the end of a round: notes for which needs these limits are short from now on."""
        for limit in dict.fromkeys(limits):
            crowd = limit.crowd
            if crowd is None:
                continue
            left = limit.room - sum(crowd.kept.values())
            for gate in crowd.gates.values():
                if gate.short is not (left < gate.need):
                    for account in gate.accounts:
                        account.settle(now)
                    gate.short = not gate.short


def _shared(need: tuple[Limit, int]) -> tuple[int, int]:
    """Sorts the limits that most demands ask for first."""
    limit, _ = need
    return (-len(Crowd.of(limit).demands), limit.seq)


def _seq(limit: Limit) -> int:
    return limit.seq
