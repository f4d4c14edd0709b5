"""The slow obvious model of admission: the interface of `Admission` over the scanning rules of `_limits.audit`.

How the rules are read where they leave a choice stands in `asyncflow/_limits/audit/__init__.py` (R1–R18). Here is
only what a caller sees: the stimuli, and a round as a sequence of decisions.
"""

from __future__ import annotations

import copy
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from asyncflow._limits.audit import Claim, Demand, Group, Hall, Limit, Party, Reduction, Waiter, pick
from asyncflow._limits.audit.earmarking import drop_unfit, drop_wanted, earmark, granted_to
from asyncflow._limits.audit.fitting import Way, gatherers, reservations
from asyncflow._limits.audit.waiter import added
from asyncflow.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Command:
    """What a round asks of its caller beside grants: `kind` is the name of the core's class for it."""

    kind: str
    claim: Claim


class ModelAdmission:
    """The interface of `asyncflow._limits.Admission`, by naive scans."""

    def __init__(
        self,
        *,
        max_overtakes: int = 64,
        fair: bool = True,
        earmark_ns: int = 100_000_000,
        earmark_cap_ns: int = 15_000_000_000,
    ) -> None:
        self.hall = Hall(max_overtakes=max_overtakes, fair=fair, earmark_ns=earmark_ns, earmark_cap_ns=earmark_cap_ns)
        self.groups: dict[Hashable, Group] = {}
        self.remote_grants: list[Claim] = []
        self.commands: list[Command] = []

    # ------------------------------------------------------------------------------------------------- making
    def limit(
        self, name: str, capacity: int | None, *, named: bool = True, reentrant: bool = True, external: bool = False
    ) -> Limit:
        refuse_negative(name, capacity)
        limit = Limit(name, capacity, self.hall.number("limit"), named, reentrant, external)
        self.hall.limits.append(limit)
        return limit

    def drop(self, limit: Limit) -> None:
        self.hall.drop(limit)

    def demand(self, needs: Iterable[tuple[Limit, int]]) -> Demand:
        return Demand(added(tuple(needs)))

    def group(self, key: Hashable, weight: float = 1.0) -> Group:
        group = self.groups.get(key)
        if group is None:
            group = self.groups[key] = Group(key, weight, self.hall.number("group"))
        group.weight = weight
        return group

    def party(self, group: Group, *, priority: int = 0) -> Party:
        return Party(group, priority, self.hall.number("party"))

    # ------------------------------------------------------------------------------------------------ stimuli
    def enqueue(self, claim: Claim) -> None:
        self.hall.enqueue([[claim]])

    def enqueue_again(self, claim: Claim) -> None:
        self.hall.enqueue([[claim]])

    def enqueue_many(self, claims: Iterable[Claim]) -> None:
        for claim in claims:
            self.enqueue(claim)

    def enqueue_ghosts(self, ghosts: Sequence[tuple[Claim, Claim | None]]) -> None:
        self.hall.enqueue([[run] if root is None else [run, root] for run, root in ghosts])

    def withdraw(self, claim: Claim) -> None:
        self.hall.withdraw(claim)

    def release(self, claim: Claim, limits: Iterable[Limit] | None = None) -> None:
        self.hall.release(claim, limits)

    def resize(self, limit: Limit, capacity: int | None) -> None:
        refuse_negative(limit.name, capacity)
        limit.capacity = capacity

    def pause(self, limit: Limit) -> None:
        limit.paused = True

    def resume(self, limit: Limit) -> None:
        limit.paused = False

    def rematch(self, claim: Claim, demand: Demand) -> None:
        lost = self.hall.rematch(claim, demand)
        if lost is not None:
            self._command("DropTicket", lost.main)

    def reprioritise(self, what: Party | Claim, *, priority: int | None = None, order: Any = None) -> None:
        if isinstance(what, Claim):
            what.order = order
        elif priority is not None:
            self.hall.reprioritise(what, priority)

    def external_grant(self, claim: Claim) -> None:
        self.remote_grants.append(claim)

    def external_refused(self, claim: Claim) -> None:
        self.hall.refuse_remote(claim)

    def lend(self, lender: Claim, borrower: Claim | Party) -> None:
        self.hall.lend(lender, borrower)

    def unlend(self, lender: Claim, borrower: Claim | Party) -> None:
        self.hall.unlend(lender, borrower)

    def unpark(self, claim: Claim) -> None:
        self.hall.unpark(claim)

    # -------------------------------------------------------------------------------------------------- round
    def admit(self, now: int) -> list[Claim]:
        hall = self.hall
        grants: list[Claim] = []
        for victim in hall.begin_round(now):
            self._command("Deadlocked", victim.main)
        for waiter in drop_unfit(hall):
            self._command("DropTicket", waiter.main)
        self._start_remote(grants)
        for claim in hall.go_on():
            self._command("Unparked", claim)
        while True:
            while (chosen := pick(hall)) is not None:
                self._take(*chosen, grants)
            wanted = drop_wanted(hall)
            if wanted is None:
                break
            dropped, chosen = wanted
            self._command("DropTicket", dropped.main)
            self._take(*chosen, grants)
        self._resolve_deadlocks()
        for waiter in hall.end_round():
            self._command("Gathering", waiter.main)
        return grants

    def _start_remote(self, grants: list[Claim]) -> None:
        claims, self.remote_grants = self.remote_grants, []
        for claim in claims:
            waiter = granted_to(self.hall, claim)
            if waiter is None:
                self._command("ReturnRemote", claim)
            else:
                self._take(waiter, Way(own=dict(waiter.needs), loans=[]), grants)

    def _take(self, waiter: Waiter, way: Way, grants: list[Claim]) -> None:
        if way.earmark:
            earmark(self.hall, waiter)
            self._command("AskRemote", waiter.main)
        else:
            self.hall.start(waiter, way)
            grants += waiter.parts

    def _resolve_deadlocks(self) -> None:
        hall = self.hall
        while (youngest := Reduction(hall.books, hall.waiting, hall.unparking).youngest()) is not None:
            self._command("Deadlocked", youngest)
            if youngest in hall.unparking:
                hall.unparking.remove(youngest)
            else:
                hall.deadlock(hall.waiter(youngest))

    def _command(self, kind: str, claim: Claim) -> None:
        self.commands.append(Command(kind, claim))

    # ------------------------------------------------------------------------------------------------- reading
    def gatherers(self) -> list[Claim]:
        return [waiter.main for waiter in gatherers(self.hall)]

    def reservation(self, claim: Claim) -> dict[Limit, int]:
        return next((units for waiter, units in reservations(self.hall) if waiter.main is claim), {})

    def fits_ever(self, demand: Demand) -> list[tuple[Limit, int]]:
        return [
            (limit, amount)
            for limit, amount in demand.needs
            if limit.capacity is not None and 0 < limit.capacity < amount
        ]

    def check(self) -> None:
        """Nothing is kept twice here, so nothing can drift."""

    def copy(self) -> ModelAdmission:
        return copy.deepcopy(self)


def refuse_negative(name: str, capacity: int | None) -> None:
    """Raises for a capacity that no limit can have."""
    if capacity is not None and capacity < 0:
        raise ConfigurationError(f"the capacity of {name!r} is {capacity}; a limit is None, 0 (paused) or more")
