"""The decision log: every stimulus and every decision of an `Admission`, numbered, as plain data.

What the log holds is enough to decide everything again: limits, groups, parties and claims appear under the numbers
the core gave them (`seq`, `arrival`), times are the readings that the rounds were given, and decisions stand in the
order in which they were made. `check_log` (in `checker`) replays a log and proves limits, order and the overtaking
bound; a log written as JSON lines can be checked in another process, years later.

A core without a log pays one comparison with None per stimulus. Records are dictionaries of JSON values:

    {"n": 7, "kind": "enqueue", "claim": 4, "party": 2, "needs": [[1, 1]], "order": [0, -1.5, 3], "parent": null}
    {"n": 8, "kind": "round", "now": 120}
    {"n": 9, "kind": "start", "claim": 4, "own": [[1, 1]]}
    {"n": 10, "kind": "end_round"}

Owners are never written: they belong to the caller, and their `repr` might say what a log must not.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias, cast

from asyncflow._limits.claim import Claim
from asyncflow._limits.command import Command
from asyncflow._limits.group import Group, Party
from asyncflow._limits.limit import Limit

Record: TypeAlias = dict[str, Any]
"""One line of the log; `Any` because `order` is whatever the caller sorts by."""

FORMAT = 1
"""Written into the first record; grows when a record changes its meaning."""


class DecisionLog:
    """Collects the records of one `Admission`.

    Args:
        sink: Called with each record instead of keeping it, for logs that shall not grow in memory.

    Example:
        >>> log = DecisionLog()
        >>> log.round_began(5)
        >>> log.records
        [{'n': 1, 'kind': 'round', 'now': 5}]
    """

    __slots__ = ("_number", "_sink", "records")

    def __init__(self, *, sink: Callable[[Record], None] | None = None) -> None:
        self.records: list[Record] = []
        self._sink = self.records.append if sink is None else sink
        self._number = 0

    def _write(self, kind: str, **data: Any) -> None:
        self._number += 1
        self._sink({"n": self._number, "kind": kind, **data})

    def __repr__(self) -> str:
        return f"<decision log, {self._number} records>"

    # ------------------------------------------------------------------------------------------------- things made
    def opened(self, *, max_overtakes: int, fair: bool, earmark_ns: int, earmark_cap_ns: int) -> None:
        """The core was made with these options."""
        self._write(
            "open",
            format=FORMAT,
            max_overtakes=max_overtakes,
            fair=fair,
            earmark_ns=earmark_ns,
            earmark_cap_ns=earmark_cap_ns,
        )

    def limit_made(self, limit: Limit) -> None:
        """A limit was made."""
        self._write(
            "limit",
            limit=limit.seq,
            name=limit.name,
            capacity=limit.capacity,
            named=limit.named,
            reentrant=limit.reentrant,
            external=limit.external,
        )

    def limit_dropped(self, limit: Limit) -> None:
        """A limit that nobody used was forgotten."""
        self._write("drop", limit=limit.seq)

    def group_weighed(self, group: Group) -> None:
        """A group was made, or its weight changed."""
        self._write("group", group=group.seq, weight=group.weight)

    def party_joined(self, party: Party) -> None:
        """A party was made."""
        self._write("party", party=party.arrival, group=party.group.seq, priority=party.priority)

    # ------------------------------------------------------------------------------------------------------ stimuli
    def enqueued(self, claim: Claim) -> None:
        """A claim began to wait."""
        self._write("enqueue", **_claim(claim))

    def ghosts_enqueued(self, pairs: Sequence[tuple[Claim, Claim | None]]) -> None:
        """The ghosts of a run began to wait; one of them will start."""
        self._write("ghosts", ghosts=[[_claim(run), None if root is None else _claim(root)] for run, root in pairs])

    def withdrawn(self, claim: Claim) -> None:
        """A waiting claim was taken back, or a granted one that had not begun."""
        self._write("withdraw", claim=claim.seq)

    def released(self, claim: Claim, limits: Iterable[Limit] | None) -> None:
        """A grant ended, or gave back some of its limits."""
        self._write("release", claim=claim.seq, limits=None if limits is None else [limit.seq for limit in limits])

    def resized(self, limit: Limit) -> None:
        """A limit has another capacity."""
        self._write("resize", limit=limit.seq, capacity=limit.capacity)

    def paused(self, limit: Limit) -> None:
        """A limit starts nothing from now on."""
        self._write("pause", limit=limit.seq)

    def resumed(self, limit: Limit) -> None:
        """A paused limit goes on."""
        self._write("resume", limit=limit.seq)

    def rematched(self, claim: Claim) -> None:
        """A claim has another demand."""
        self._write("rematch", claim=claim.seq, needs=_needs(claim))

    def party_reprioritised(self, party: Party) -> None:
        """A party has another priority."""
        self._write("priority", party=party.arrival, priority=party.priority)

    def claim_reordered(self, claim: Claim) -> None:
        """A claim has another place inside its run."""
        self._write("order", claim=claim.seq, order=_plain(claim.order))

    def remote_granted(self, claim: Claim) -> None:
        """The other side granted a claim's ticket."""
        self._write("remote_grant", claim=claim.seq)

    def remote_refused(self, claim: Claim) -> None:
        """The other side refused a claim's ticket."""
        self._write("remote_refuse", claim=claim.seq)

    def lent(self, lender: Claim, borrower: Claim | Party) -> None:
        """A parked claim lets others use what it holds."""
        self._write("lend", lender=lender.seq, **_borrower(borrower))

    def unlent(self, lender: Claim, borrower: Claim | Party) -> None:
        """A lending edge was taken away."""
        self._write("unlend", lender=lender.seq, **_borrower(borrower))

    def unpark_asked(self, claim: Claim) -> None:
        """A parked claim wants to go on."""
        self._write("unpark", claim=claim.seq)

    # ---------------------------------------------------------------------------------------------------- decisions
    def round_began(self, now: int) -> None:
        """A round began; what follows up to `end_round` was decided in it."""
        self._write("round", now=now)

    def started(self, claim: Claim) -> None:
        """A claim was granted; called once its units are booked."""
        own = [[limit.seq, amount] for limit, _ in claim.demand.needs if (amount := claim.own_of(limit))]
        self._write("start", claim=claim.seq, own=own)

    def commanded(self, command: Command) -> None:
        """A round decided something beside starts."""
        self._write("command", command=type(command).__name__, claim=command.claim.seq)

    def round_ended(self) -> None:
        """The round admitted all it could."""
        self._write("end_round")

    # -------------------------------------------------------------------------------------------------------- lines
    def lines(self) -> Iterator[str]:
        """The records as JSON, one per line.

        Raises:
            TypeError: where a claim's `order` is not made of numbers and strings.
        """
        for record in self.records:
            yield json.dumps(record, separators=(",", ":"))

    @staticmethod
    def parse(lines: Iterable[str]) -> list[Record]:
        """Returns the records of JSON lines, for `check_log`.

        Raises:
            ValueError: for a line that is not JSON.
        """
        return [json.loads(line) for line in lines if line.strip()]


def _needs(claim: Claim) -> list[list[int]]:
    return [[limit.seq, amount] for limit, amount in claim.demand.needs]


def _claim(claim: Claim) -> Record:
    parent = claim.parent
    data: Record = {
        "claim": claim.seq,
        "party": claim.party.arrival,
        "needs": _needs(claim),
        "order": _plain(claim.order),
        "parent": None if parent is None else parent.seq,
    }
    return data if claim.age == claim.seq else {**data, "age": claim.age}


def _borrower(borrower: Claim | Party) -> Record:
    if isinstance(borrower, Claim):
        return {"claim": borrower.seq}
    return {"party": borrower.arrival}


def _plain(order: Any) -> Any:  # noqa: ANN401 — the caller's own; only tuples are changed, as JSON will do
    return [_plain(part) for part in cast("tuple[object, ...]", order)] if isinstance(order, tuple) else order
