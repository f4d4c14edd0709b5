"""What an `Admission` knows by name: its limits, demands, groups and parties."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any
from weakref import WeakValueDictionary

from asyncflow._limits.claim import WAITING
from asyncflow._limits.demand import Demand, key_of, vector
from asyncflow._limits.group import Group, Party
from asyncflow._limits.limit import Limit
from asyncflow._limits.log import DecisionLog
from asyncflow._limits.round import Round
from asyncflow._limits.state import State
from asyncflow.errors import AdmissionError


class Registry:
    """Makes and finds limits, demands, groups and parties; see `Admission` for the arguments."""

    __slots__ = ("_demands", "_groups", "_round", "_state")

    def __init__(
        self,
        *,
        max_overtakes: int = 64,
        fair: bool = True,
        earmark_ns: int = 100_000_000,
        earmark_cap_ns: int = 15_000_000_000,
        log: DecisionLog | None = None,
        describe: Callable[[Any], str] = str,
    ) -> None:
        if max_overtakes < 1:
            raise AdmissionError(f"max_overtakes must be at least 1, got {max_overtakes}")
        self._state = State(
            max_overtakes=max_overtakes,
            fair=fair,
            earmark_ns=earmark_ns,
            earmark_cap_ns=earmark_cap_ns,
            log=log,
            describe=describe,
        )
        self._round = Round(self._state)
        self._groups: WeakValueDictionary[Hashable, Group] = WeakValueDictionary()
        self._demands: WeakValueDictionary[tuple[tuple[int, int], ...], Demand] = WeakValueDictionary()
        if log is not None:
            log.opened(max_overtakes=max_overtakes, fair=fair, earmark_ns=earmark_ns, earmark_cap_ns=earmark_cap_ns)

    def describe(self, owner: Any) -> str:  # noqa: ANN401 — the caller's own, opaque here
        """Returns how people call an owner."""
        return self._state.describe(owner)

    def limit(
        self, name: str, capacity: int | None, *, named: bool = True, reentrant: bool = True, external: bool = False
    ) -> Limit:
        """Makes a limit. None is unlimited, 0 starts nothing."""
        state = self._state
        limit = Limit(name, capacity, seq=self._next(), named=named, reentrant=reentrant, external=external)
        state.limits[limit] = None
        if state.log is not None:
            state.log.limit_made(limit)
        return limit

    def drop(self, limit: Limit) -> None:
        """Forgets a limit.

        Raises:
            AdmissionError: while somebody holds it or asks for it.
        """
        state = self._state
        asked = limit.crowd is not None or any(
            claim.state is WAITING and claim.asked.amount(limit) for claim in state.arrivals
        )
        if limit.held or asked or limit not in state.limits:
            raise AdmissionError(f"limit {limit.name!r} is held, asked for or unknown; drop it when nobody uses it")
        del state.limits[limit]
        state.books.forget(limit)
        if limit.named:
            for group in tuple(self._groups.values()):
                group.forget(limit)
        if state.log is not None:
            state.log.limit_dropped(limit)

    def external_limits(self) -> list[Limit]:
        """Returns the limits whose units another side grants."""
        return [limit for limit in self._state.limits if limit.external]

    def idle(self, limits: Iterable[Limit]) -> list[Limit]:
        """Returns those of `limits` that nobody holds and that are part of no demand somebody still has."""
        known = {limit for demand in tuple(self._demands.values()) for limit, _ in demand.needs}
        return [limit for limit in limits if not limit.held and limit not in known]

    def demand(self, needs: Iterable[tuple[Limit, int]]) -> Demand:
        """Returns the demand for these needs; equal vectors are one object. Amounts for one limit are added."""
        summed = vector(needs)
        key = key_of(summed)
        demand = self._demands.get(key)
        if demand is None:
            demand = self._demands[key] = Demand(summed)
        return demand

    def group(self, key: Hashable, weight: float = 1.0) -> Group:
        """Returns the group of a key, the same object while anybody holds it; the newest weight counts."""
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = Group(key, weight, self._next())
        elif group.weight == weight:
            return group
        else:
            group.weight = weight
            self._state.queue.reweigh(group)
        if self._state.log is not None:
            self._state.log.group_weighed(group)
        return group

    def party(self, group: Group, *, priority: int = 0) -> Party:
        """Makes a party: a run, or a `slots()` block."""
        party = Party(group, priority, self._next())
        if self._state.log is not None:
            self._state.log.party_joined(party)
        return party

    def _next(self) -> int:
        state = self._state
        state.seq += 1
        return state.seq
