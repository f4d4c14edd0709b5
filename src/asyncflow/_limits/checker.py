"""Proves a decision log: replays its stimuli with the slow rules of `audit` and re-decides every decision in it.

The log is followed, not corrected: a decision that the rules would not have made is reported once, then taken as it
stands, so that one fault does not drown the rest. What is proved, and the kind of violation otherwise:

    record      the log is whole: numbered without gaps, time does not go back, every name is known, rounds are closed
    limit       no start takes a unit that is held, earmarked, paused or above the capacity
    atomicity   a start covers its whole demand, own and borrowed; a run and its root start together
    identity    only who waits starts, and only who holds releases, once
    order       every start is the next one by the order across and inside groups
    left-behind nobody who fits is still waiting at the end of a round
    overtaking  who was passed too often gathers, and nobody takes what is reserved for it
    deadlock    the victims are the deadlocked ones, youngest first, and nobody else
    remote      tickets are asked for, dropped and returned as the rules say
    leak        at the end nothing is held and nobody waits (only where `ended=True` says that all is over)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from asyncflow._limits.audit.earmarking import drop_unfit, drop_wanted, earmark, granted_to
from asyncflow._limits.audit.fitting import Way, fit, reservations
from asyncflow._limits.audit.order import pick
from asyncflow._limits.audit.reduction import Reduction
from asyncflow._limits.audit.replay import Replay, Violation
from asyncflow._limits.audit.waiter import Claim, Limit, State, Waiter
from asyncflow._limits.log import Record
from asyncflow.errors import AdmissionError

OWED_KIND: Final = {
    "Deadlocked": "deadlock",
    "Gathering": "overtaking",
    "Unparked": "left-behind",
    "AskRemote": "remote",
    "DropTicket": "remote",
    "ReturnRemote": "remote",
}
"""What it violates when a command is missing, or comes without reason."""


def check_log(records: Iterable[Record], *, ended: bool = False) -> list[Violation]:
    """Replays a decision log and returns every violation found in it, in the order of the log.

    Args:
        records: `DecisionLog.records`, or what `DecisionLog.parse` returns.
        ended: True if everything was over when the log ended: what is then still held or waiting has leaked.

    Returns:
        The violations; an empty list proves the log.

    Example:
        >>> check_log([{"n": 1, "kind": "round", "now": 0}])[0].kind
        'record'
    """
    checker = _Checker()
    for record in records:
        checker.follow(record)
    checker.finish(ended=ended)
    return checker.violations


class _Checker(Replay):
    """A replay that re-decides."""

    def __init__(self) -> None:
        super().__init__()
        self._in_round = False
        self._due: list[Claim] = []  # granted by the rules, not yet seen in the log

    def finish(self, *, ended: bool) -> None:
        """Checks what must be so at the end."""
        if self._in_round:
            self.violated("record", "the log ends inside a round")
        if ended and self.claims:
            for claim in self.hall.books.own:
                self.violated("leak", f"claim {claim.owner} still holds {list(claim.holds)}")
            for waiter in self.hall.waiters():
                self.violated("leak", f"claim {waiter.main.owner} still waits")

    def _settle_owed(self) -> None:
        for (command, claim), count in sorted(self.owed.items()):
            if count:
                text = (
                    f"{command} for claim {claim} is missing" if count > 0 else f"{command} for {claim} has no reason"
                )
                self.violated(OWED_KIND.get(command, "record"), text)
        self.owed.clear()

    def _on_round(self, record: Record) -> None:
        hall = self.hall
        if self._in_round:
            self.violated("record", "a round begins inside a round")
        self._settle_owed()
        self._in_round = True
        try:
            victims = hall.begin_round(record["now"])
        except AdmissionError as refusal:
            self.violated("record", str(refusal))
            victims = hall.begin_round(hall.now)
        for victim in victims:
            self.owe("Deadlocked", victim.main)
        for waiter in drop_unfit(hall):
            self.owe("DropTicket", waiter.main)
        for claim in self.tickets:
            started = granted_to(hall, claim)
            if started is None:
                self.owe("ReturnRemote", claim)
            else:
                self._start(started, Way(own=dict(started.needs), loans=[]))
        self.tickets = []
        for claim in hall.go_on():
            self.owe("Unparked", claim)

    def _start(self, waiter: Waiter, way: Way) -> None:
        self.hall.start(waiter, way)
        self._due += waiter.parts

    def _on_start(self, record: Record) -> None:
        claim = self.claims[record["claim"]]
        if not self._in_round:
            self.violated("record", f"claim {claim.owner} starts outside a round")
        if claim not in self._due:
            self._decide(claim)
        if claim not in self._due:
            return
        if claim is not self._due[0]:
            self.violated("order", f"claim {claim.owner} starts before claim {self._due[0].owner}, granted earlier")
        self._due.remove(claim)
        self._compare_own(claim, record)

    def _decide(self, claim: Claim) -> None:
        """Compares a start with what the rules would start next, then makes it as the log says."""
        for missing in self._due:
            self.violated("atomicity", f"claim {missing.owner} was granted and did not start with the rest")
        self._due = []
        if claim.state is not State.WAITING:
            raise AdmissionError(f"claim {claim.owner} starts, but is {claim.state.value}")
        hall, waiter = self.hall, self.hall.waiter(claim)
        if not waiter.seen:
            raise AdmissionError(f"claim {claim.owner} starts before a round saw it")
        expected = pick(hall)
        if expected is not None and expected[0] is waiter and not expected[1].earmark:
            self._start(*expected)
            return
        way = fit(hall, waiter, reservations(hall))
        if way is not None and not way.earmark and expected is not None:
            self.violated("order", f"claim {claim.owner} starts, but claim {expected[0].main.owner} comes before it")
        elif way is not None or waiter.remote:
            self.violated("remote", f"claim {claim.owner} starts without its remote grant")
        else:
            way = fit(hall, waiter, [])
            if way is None:
                self.violated("limit", f"claim {claim.owner} starts and does not fit {list(waiter.needs)}")
            else:
                self.violated("overtaking", f"claim {claim.owner} takes units reserved for a gatherer")
        self._start(waiter, Way(own=dict(waiter.needs), loans=[]) if way is None else way)

    def _compare_own(self, claim: Claim, record: Record) -> None:
        logged: dict[Limit, int] = {self.limits[limit]: amount for limit, amount in record["own"]}
        for limit, amount in claim.demand.needs:
            own, said = self.hall.books.owned(claim, limit), logged.pop(limit, 0)
            if said != own:
                kind = "limit" if own < said <= amount else "atomicity"
                self.violated(
                    kind, f"claim {claim.owner} owns {said} of {limit}, not {own} of the {amount} it asks for"
                )
        if logged:
            self.violated("atomicity", f"claim {claim.owner} owns {logged}, which it did not ask for")

    def _on_command(self, record: Record) -> None:
        claim, command = self.claims[record["claim"]], record["command"]
        if self.owed[command, record["claim"]] > 0 or not self._decided(command, claim):
            self.owed[command, record["claim"]] -= 1

    def _decided(self, command: str, claim: Claim) -> bool:
        """Makes a decision that only the log dates, if it is the one that the rules would make now."""
        hall = self.hall
        if command == "AskRemote":
            expected = pick(hall)
            if expected is not None and expected[0].main is claim and expected[1].earmark:
                earmark(hall, expected[0])
                return True
        elif command == "DropTicket" and self._in_round:
            wanted = drop_wanted(hall) if pick(hall) is None else None
            if wanted is not None and wanted[0].main is claim:
                return True
        elif command == "Deadlocked" and pick(hall) is None and self._youngest() is claim:
            if claim in hall.unparking:
                hall.unparking.remove(claim)
            else:
                hall.deadlock(hall.waiter(claim))
            return True
        return False

    def _youngest(self) -> Claim | None:
        return Reduction(self.hall.books, self.hall.waiting, self.hall.unparking).youngest()

    def _on_end_round(self, record: Record) -> None:
        hall = self.hall
        if not self._in_round:
            raise ValueError(f"record {record['n']} ends a round that did not begin")
        self._in_round = False
        for claim in self._due:
            self.violated("left-behind", f"claim {claim.owner} was granted and did not start")
        self._due = []
        expected = pick(hall)
        if expected is not None:
            self.violated("left-behind", f"claim {expected[0].main.owner} fits and was left waiting")
        elif (wanted := drop_wanted(hall)) is not None:
            self.violated("left-behind", f"claim {wanted[1][0].main.owner} wants what is earmarked long enough")
        victim = self._youngest()
        if victim is not None:
            self.violated("deadlock", f"claim {victim.owner} is deadlocked and was left waiting")
        for waiter in hall.end_round():
            self.owe("Gathering", waiter.main)
        self._settle_owed()


__all__ = ["Violation", "check_log"]
