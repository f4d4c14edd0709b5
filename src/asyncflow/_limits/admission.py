"""The admission core: who may start now, and why not. Pure, synchronous; time is an argument."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from heapq import heappop, heappush
from typing import Any
from weakref import WeakValueDictionary

from asyncflow._limits.claim import ENDED, GRANTED, NEW, WAITING, WITHDRAWN, Claim
from asyncflow._limits.command import Command, Deadlocked
from asyncflow._limits.demand import Demand, vector
from asyncflow._limits.explanation import Blocker, Explanation
from asyncflow._limits.group import Group, Party
from asyncflow._limits.limit import Limit
from asyncflow._limits.snapshot import HolderView, LimitView, Snapshot, WaiterView
from asyncflow.errors import AdmissionError


class ReleaseError(AdmissionError):
    """A grant was released that is not held (any more); nothing was changed."""


class Admission:
    """All limits of one process and their waiters."""

    def __init__(self, *, max_overtakes: int = 64, fair: bool = True, log: Any = None) -> None:
        self.max_overtakes = max_overtakes
        self.fair = fair
        self.commands: list[Command] = []
        self._log = log
        self._seq = 0
        self._now = 0
        self._limits: dict[Limit, None] = {}
        self._demands: WeakValueDictionary[tuple[tuple[int, int], ...], Demand] = WeakValueDictionary()
        self._groups: WeakValueDictionary[Hashable, Group] = WeakValueDictionary()
        self._cells: dict[tuple[Any, ...], list[Any]] = {}
        self._granted: dict[Claim, None] = {}
        self._lent: dict[tuple[Claim, Limit], int] = {}

    def _next(self) -> int:
        self._seq += 1
        return self._seq

    def limit(
        self, name: str, capacity: int | None, *, named: bool = True, reentrant: bool = True, external: bool = False
    ) -> Limit:
        made = Limit(name, capacity, seq=self._next(), named=named, reentrant=reentrant, external=external)
        self._limits[made] = None
        return made

    def drop(self, limit: Limit) -> None:
        if limit.held:
            raise AdmissionError(f"limit {limit.name!r} cannot be dropped while it is held")
        self._limits.pop(limit, None)

    def demand(self, needs: Iterable[tuple[Limit, int]]) -> Demand:
        needs = vector(needs)
        key = tuple([(limit.seq, amount) for limit, amount in needs])
        found = self._demands.get(key)
        if found is None:
            found = self._demands[key] = Demand(needs)
        return found

    def group(self, key: Hashable, weight: float = 1.0) -> Group:
        found = self._groups.get(key)
        if found is None:
            found = self._groups[key] = Group(key, weight, self._next())
        found.weight = weight
        return found

    def party(self, group: Group, *, priority: int = 0) -> Party:
        return Party(group, priority, self._next())

    def enqueue(self, claim: Claim) -> None:
        if claim.state is not NEW:
            raise AdmissionError(f"{claim!r} was enqueued before; make a new claim")
        claim.state = WAITING
        claim.seq = self._next()
        claim.enqueued_at = -1
        group = claim.party.group
        if not group.waiting:
            group.turn = max(group.turn, claim.seq)
        group.waiting += 1
        self._put(claim)

    def _put(self, claim: Claim) -> None:
        party = claim.party
        key = (party.group, claim.demand, party.priority, claim.parent)
        heappush(self._cells.setdefault(key, []), (party.arrival, claim.order, claim.seq, claim))

    def enqueue_many(self, claims: Iterable[Claim]) -> None:
        for claim in claims:
            self.enqueue(claim)

    def enqueue_ghosts(self, ghosts: Sequence[tuple[Claim, Claim | None]]) -> None:
        raise AdmissionError("ghosts are not built yet")

    def withdraw(self, claim: Claim) -> None:
        if claim.state is WAITING:
            claim.state = WITHDRAWN
            claim.party.group.waiting -= 1
        elif claim.state is GRANTED:
            self.release(claim)
            claim.state = WITHDRAWN

    def release(self, claim: Claim, limits: Iterable[Limit] | None = None) -> None:
        if claim.state is not GRANTED or claim not in self._granted:
            raise ReleaseError(f"{claim!r} is not held; a grant is released once, by its own claim")
        group = claim.party.group
        loose = claim.loose
        if loose is None:
            loose = claim.loose = {limit: [amount, 0] for limit, amount in claim.demand.needs}
        for limit in list(loose) if limits is None else list(limits):
            own, _ = loose.pop(limit, (0, 0))
            limit.held -= own
            if limit.named:
                group.held[limit] = group.held.get(limit, 0) - own
                group.service[limit] = group.service.get(limit, 0) + own * (self._now - claim.granted_at)
            for borrower in self._granted:
                if borrower.loose is not None and limit in borrower.loose:
                    for loan in [k for k in self._lent if k == (claim, limit)]:
                        borrower.loose[limit][0] += self._lent[loan]
                        limit.held += self._lent.pop(loan)
        if limits is None:
            claim.state = ENDED
            del self._granted[claim]

    def resize(self, limit: Limit, capacity: int | None) -> None:
        limit.capacity = capacity
        limit.raise_ceiling()

    def pause(self, limit: Limit) -> None:
        limit.paused = True
        limit.raise_ceiling()

    def resume(self, limit: Limit) -> None:
        limit.paused = False
        limit.raise_ceiling()

    def rematch(self, claim: Claim, demand: Demand) -> None:
        raise AdmissionError("rematch is not built yet")

    def reprioritise(self, what: Party | Claim, *, priority: int | None = None, order: Any = None) -> None:
        raise AdmissionError("reprioritise is not built yet")

    def admit(self, now: int) -> list[Claim]:
        if now < self._now:
            raise AdmissionError(f"time went back from {self._now} to {now}")
        self._now = now
        starts: list[Claim] = []
        while True:
            best: Claim | None = None
            for key in list(self._cells):
                head = self._head(key)
                if head is None or not self._fits(head):
                    continue
                if best is None or self._before(head, best):
                    best = head
            if best is None:
                return starts
            self._grant(best)
            starts.append(best)

    def _head(self, key: tuple[Any, ...]) -> Claim | None:
        heap = self._cells[key]
        while heap:
            claim: Claim = heap[0][3]
            if claim.state is WAITING:
                if claim.enqueued_at < 0:
                    claim.enqueued_at = self._now
                return claim
            heappop(heap)
        del self._cells[key]
        return None

    def _fits(self, claim: Claim) -> bool:
        return all(
            limit.ceiling - limit.held >= amount
            or self._lendable(claim, limit) >= amount - max(0, limit.ceiling - limit.held)
            for limit, amount in claim.demand.needs
        )

    def _lendable(self, claim: Claim, limit: Limit) -> int:
        total = 0
        lender = claim.parent
        while lender is not None and limit.reentrant:
            total += self._can_lend(lender, limit)
            lender = lender.parent
        return total

    def _can_lend(self, lender: Claim, limit: Limit) -> int:
        if lender.state is not GRANTED:
            return 0
        has = sum(lender.loose.get(limit, [])) if lender.loose is not None else dict(lender.demand.needs).get(limit, 0)
        return has - self._lent.get((lender, limit), 0)

    def _before(self, a: Claim, b: Claim) -> bool:
        one, two = a.party, b.party
        if one.group is two.group or not self.fair:
            return (-one.priority, one.arrival, a.order, a.seq) < (-two.priority, two.arrival, b.order, b.seq)
        return (-one.priority, *self._shares(a), one.group.turn, one.group.seq) < (
            -two.priority,
            *self._shares(b),
            two.group.turn,
            two.group.seq,
        )

    def _shares(self, claim: Claim) -> tuple[float, float]:
        group = claim.party.group
        share = service = 0.0
        for limit, _ in claim.demand.named:
            if limit.capacity:
                share = max(share, group.held.get(limit, 0) / limit.capacity / group.weight)
                service = max(service, group.service.get(limit, 0) / limit.capacity / group.weight)
        return share, service

    def _grant(self, claim: Claim) -> None:
        group = claim.party.group
        group.waiting -= 1
        group.turn = self._next()
        claim.state = GRANTED
        claim.granted_at = self._now
        if claim.granted_at > claim.enqueued_at:
            claim.waited = {"order": claim.granted_at - claim.enqueued_at}
        self._granted[claim] = None
        for limit, amount in claim.demand.needs:
            own = min(amount, max(0, limit.ceiling - limit.held))
            missing = amount - own
            if missing:
                if claim.loose is None:
                    claim.loose = {one: [n, 0] for one, n in claim.demand.needs}
                claim.loose[limit] = [own, missing]
                lender = claim.parent
                while missing and lender is not None:
                    part = min(missing, self._can_lend(lender, limit))
                    if part:
                        self._lent[lender, limit] = self._lent.get((lender, limit), 0) + part
                        missing -= part
                    lender = lender.parent
            limit.held += own
            if limit.named:
                group.held[limit] = group.held.get(limit, 0) + own

    def fits_ever(self, demand: Demand) -> list[tuple[Limit, int]]:
        return [(limit, n) for limit, n in demand.needs if limit.capacity and limit.capacity < n]

    def snapshot(self) -> Snapshot:
        waiting = [entry[3] for heap in self._cells.values() for entry in heap if entry[3].state is WAITING]
        views: list[LimitView] = []
        for limit in self._limits:
            holders = [
                HolderView(c.owner, dict(c.demand.needs)[limit], 0, c.granted_at)
                for c in self._granted
                if limit in dict(c.demand.needs)
            ]
            waiters = [
                WaiterView(c.owner, dict(c.demand.needs)[limit], c.enqueued_at)
                for c in waiting
                if limit in dict(c.demand.needs)
            ]
            views.append(
                LimitView(
                    limit.name, limit.capacity, limit.held, limit.reserved, limit.debt, limit.paused, limit.named,
                    tuple(holders), tuple(waiters),
                )
            )
        return Snapshot(self._now, tuple(views))

    def explain(self, claim: Claim) -> Explanation:
        blockers: list[Blocker] = []
        if claim.state is WAITING:
            for limit, amount in claim.demand.needs:
                free = max(0, limit.ceiling - limit.held)
                if free < amount:
                    holders = [
                        (c.owner, n) for c in self._granted for one, n in c.demand.needs if one is limit
                    ]
                    blockers.append(Blocker(limit.name, amount, free, tuple(holders), 1))
        return Explanation(claim.state, tuple(blockers), tuple([f"{b.needed - b.free} more of {b.limit}" for b in blockers]))


__all__ = ["Admission", "Deadlocked", "ReleaseError"]
