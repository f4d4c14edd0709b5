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

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeAlias

from asyncflow._limits.crowd import Crowd
from asyncflow._limits.demand import Demand
from asyncflow._limits.limit import Limit

if TYPE_CHECKING:
    from asyncflow._limits.claim import Claim

Reading: TypeAlias = tuple[int, ...]
"""The values of an account's table, in the order in which its sets first occurred."""

ORDER = "order"

_MANY = 256


class Gate:
    """Whether a limit is short for a need, as of the end of the last round.

    Attributes:
        limit: The limit.
        need: The units needed.
        short: Whether it has fewer.
        turned: The number of the last change of any gate when this one changed last.
        accounts: Those that add this limit to their parents'.
        watchers: Waiters to be named when it becomes short.
    """

    __slots__ = ("accounts", "limit", "need", "short", "turned", "watchers")

    def __init__(self, limit: Limit, need: int) -> None:
        self.limit = limit
        self.need = need
        self.short = False
        self.turned = 0
        self.accounts: dict[Account, None] = {}
        self.watchers: list[Claim] = []

    def watch(self, claim: Claim) -> None:
        """Adds a watcher; those that wait no more are forgotten when they are many."""
        watchers = self.watchers
        watchers.append(claim)
        count = len(watchers)
        if count >= _MANY and not count & (count - 1):
            self.watchers = [one for one in watchers if one.waiting]


class Account:
    """Running integrals over the first limits of a demand.

    Attributes:
        parent: The account with one limit less; None for the root, which only keeps the time.
        gates: Of its limits; bit i of a set stands for the i-th.
        children: By the gate that they add.
        uses: Demands that charge to it, and children.
    """

    __slots__ = ("_at", "_reading", "_seen", "_short", "_table", "_turned", "children", "gates", "parent", "uses")

    def __init__(self, parent: Account | None, gate: Gate | None, now: int) -> None:
        self.parent = parent
        self.gates: tuple[Gate, ...] = ()
        self.children: dict[Gate, Account] = {}
        self.uses = 0
        self._at = now
        self._turned = 0
        self._short = 0
        self._reading: Reading | None = None
        self._table: dict[int, int] = {}
        self._seen: dict[int, int] = {}
        if parent is None or gate is None:
            self._table[0] = now
            return
        self.gates = (*parent.gates, gate)
        parent.settle(now)
        self._seen = dict(parent._table)
        self.look()
        parent.uses += 1
        parent.children[gate] = self
        gate.accounts[self] = None

    def look(self) -> None:
        """Notes which of its limits are short now."""
        self._short = 0
        self._turned = 0
        for place, gate in enumerate(self.gates):
            if gate.short:
                self._short |= 1 << place
            if gate.turned > self._turned:
                self._turned = gate.turned

    def settle(self, now: int) -> None:
        """Takes over the time that passed, under the sets of short limits that were in force."""
        elapsed = now - self._at
        if not elapsed:
            return
        self._at = now
        self._reading = None
        parent, table = self.parent, self._table
        if parent is None:
            table[0] = now
            return
        turned = self._turned
        for gate in self.gates:
            if gate.turned > turned:
                break
        else:  # no limit changed since it looked: all the time belongs to one set
            short = self._short
            table[short] = table.get(short, 0) + elapsed
            above = short & ~(1 << len(self.gates) - 1)
            self._seen[above] = self._seen.get(above, 0) + elapsed
            return
        parent.settle(now)
        bit = self._short & (1 << len(self.gates) - 1)
        for short, total in parent._table.items():
            spent = total - self._seen.get(short, 0)
            if spent:
                self._seen[short] = total
                table[short | bit] = table.get(short | bit, 0) + spent
        self.look()

    def read(self, now: int) -> Reading:
        """Returns the integrals; equal readings of one round are one object."""
        self.settle(now)
        if self._reading is None:
            self._reading = tuple(self._table.values())
        return self._reading

    def spent(self, opened: Reading, closed: Reading) -> Iterator[tuple[tuple[Limit, ...], int]]:
        """Yields what was charged between two readings, by the limits that were short together."""
        for place, (short, after) in enumerate(zip(self._table, closed, strict=False)):
            elapsed = after - (opened[place] if place < len(opened) else 0)
            if elapsed:
                limits = [gate.limit for bit, gate in enumerate(self.gates) if short >> bit & 1]
                yield tuple(sorted(limits, key=_seq)), elapsed


class Bill:
    """What one waiter waits under one demand.

    Args:
        opened: The reading when it began to wait; None where the demand's account was opened in the same round.
    """

    __slots__ = ("_account", "_closed", "_demand", "_opened")

    def __init__(self, opened: Reading | None) -> None:
        self._opened = opened
        self._closed: Reading = ()
        self._demand: Demand | None = None
        self._account: Account | None = None

    def attach(self, demand: Demand) -> None:
        """The waiter leaves the queue; `settle` says when."""
        self._demand, self._account = demand, demand.account
        if self._opened is None:
            self._opened = demand.opened

    def settle(self, now: int) -> None:
        """Takes the last reading."""
        if self._account is not None:
            self._closed = self._account.read(now)

    def add_to(self, spent: dict[tuple[Limit, ...], int]) -> None:
        """Adds what was charged, by the limits to blame."""
        if self._account is None or self._demand is None:
            return
        for short, elapsed in self._account.spent(self._opened or (), self._closed):
            blamed = short or tuple([limit for limit, _ in self._demand.remote])
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
    """The accounts of all demands that somebody waits with.

    Attributes:
        root: The account that keeps the time.
        roused: Watchers of limits that became short since somebody asked.
    """

    __slots__ = ("_turns", "root", "roused")

    def __init__(self) -> None:
        self.root = Account(None, None, 0)
        self.roused: list[Claim] = []
        self._turns = 0

    @staticmethod
    def watch(claim: Claim) -> None:
        """Names a waiter when a limit that is not short for it now becomes so, once for each limit."""
        for limit, need in claim.asked.local:
            gate = None if limit.crowd is None else limit.crowd.gates.get(need)
            if gate is not None and not gate.short:
                gate.watch(claim)

    def open(self, demand: Demand, now: int) -> None:
        """Somebody waits with this demand from now on."""
        account = self.root
        for limit, need in sorted(demand.local, key=_shared):
            crowd = Crowd.of(limit)
            gate = crowd.gates.get(need)
            if gate is None:
                gate = crowd.gates[need] = Gate(limit, need)
            found = account.children.get(gate)
            account = Account(account, gate, now) if found is None else found
        account.uses += 1
        demand.account = account
        demand.opened = account.read(now)

    def close(self, demand: Demand) -> None:
        """Nobody waits with this demand any more; accounts that are of no use are forgotten."""
        account, demand.account = demand.account, None
        if account is None:
            return
        account.uses -= 1
        while not account.uses and account.parent is not None:
            gate = account.gates[-1]
            del account.parent.children[gate]
            del gate.accounts[account]
            if not gate.accounts and gate.limit.crowd is not None:
                gate.limit.crowd.gates.pop(gate.need, None)
            account = account.parent
            account.uses -= 1

    def follow(self, limit: Limit, crowd: Crowd, now: int) -> None:
        """At the end of a round: notes for which needs a limit is short from now on."""
        left = limit.ceiling - limit.held
        if crowd.kept:
            left -= sum(crowd.kept.values())
        for gate in crowd.gates.values():
            if gate.short is not (left < gate.need):
                for account in gate.accounts:
                    account.settle(now)
                self._turns += 1
                gate.turned = self._turns
                gate.short = not gate.short
                if gate.short and gate.watchers:
                    self.roused += gate.watchers
                    gate.watchers = []
                for account in gate.accounts:
                    account.look()


def _shared(need: tuple[Limit, int]) -> tuple[int, int]:
    """Sorts the limits that most demands ask for first."""
    limit, _ = need
    return (-len(Crowd.of(limit).demands), limit.seq)


def _seq(limit: Limit) -> int:
    return limit.seq
