"""Replays the stimuli of a decision log into a hall; decisions are left to `checker`.

Claims are known by their number in the log, which is also their owner in the hall.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from asyncflow._limits.audit.hall import Hall
from asyncflow._limits.audit.waiter import Claim, Demand, Group, Limit, Party, State, added
from asyncflow._limits.log import FORMAT, Record
from asyncflow.errors import AdmissionError


@dataclass(frozen=True, slots=True)
class Violation:
    """One place where a log breaks a rule.

    Attributes:
        n: The number of the record; 0 for the log as a whole.
        kind: What is broken, as listed in `checker`.
        text: What happened, in words.
    """

    n: int
    kind: str
    text: str

    def __str__(self) -> str:
        return f"record {self.n}: {self.kind}: {self.text}"


class Replay:
    """A hall that follows a log.

    Attributes:
        violations: What was found wrong so far.
        claims: Those enqueued so far, by number.
        tickets: Claims whose remote grant came since the last round.
        owed: Commands due by the rules, less those seen in the log.
    """

    def __init__(self) -> None:
        self.violations: list[Violation] = []
        self.limits: dict[int, Limit] = {}
        self.claims: dict[int, Claim] = {}
        self.tickets: list[Claim] = []
        self.owed: Counter[tuple[str, int]] = Counter()
        self._groups: dict[int, Group] = {}
        self._parties: dict[int, Party] = {}
        self._hall: Hall | None = None
        self._n = 0
        self._handlers: dict[str, Callable[[Record], None]] = {
            name.removeprefix("_on_"): getattr(self, name) for name in dir(self) if name.startswith("_on_")
        }

    @property
    def hall(self) -> Hall:
        """The state so far."""
        if self._hall is None:
            raise LookupError("the log does not begin with its options")
        return self._hall

    def follow(self, record: Record) -> None:
        """Applies one record; whatever is wrong with it becomes a violation."""
        number = record.get("n")
        expected, self._n = self._n + 1, number if isinstance(number, int) else self._n + 1
        if number != expected:
            self.violated("record", f"has number {number}, and {expected} was to follow")
        handler = self._handlers.get(str(record.get("kind")))
        if handler is None:
            self.violated("record", f"is of no known kind: {record.get('kind')!r}")
            return
        try:
            handler(record)
        except AdmissionError as refusal:
            self.violated("identity", str(refusal))
        except (AttributeError, LookupError, TypeError, ValueError) as defect:
            self.violated("record", f"{record['kind']} cannot be read: {type(defect).__name__}: {defect}")

    def violated(self, kind: str, text: str) -> None:
        """Notes a violation at the record that is being followed."""
        self.violations.append(Violation(self._n, kind, text))

    def owe(self, command: str, claim: Claim) -> None:
        """Notes that the rules give this command."""
        self.owed[command, int(str(claim.owner))] += 1

    # ------------------------------------------------------------------------------------------------- things made
    def _on_open(self, record: Record) -> None:
        if record["format"] != FORMAT or self._hall is not None:
            raise ValueError(f"format {record['format']}, and this reads one log of format {FORMAT}")
        self._hall = Hall(
            max_overtakes=record["max_overtakes"],
            fair=record["fair"],
            earmark_ns=record["earmark_ns"],
            earmark_cap_ns=record["earmark_cap_ns"],
        )

    def _on_limit(self, record: Record) -> None:
        limit = Limit(
            name=f"{record['name']}#{record['limit']}",
            capacity=record["capacity"],
            seq=record["limit"],
            named=record["named"],
            reentrant=record["reentrant"],
            external=record["external"],
        )
        self.limits[record["limit"]] = limit
        self.hall.limits.append(limit)

    def _on_drop(self, record: Record) -> None:
        self.hall.drop(self.limits[record["limit"]])

    def _on_group(self, record: Record) -> None:
        number = record["group"]
        group = self._groups.setdefault(number, Group(number, record["weight"], number))
        group.weight = record["weight"]

    def _on_party(self, record: Record) -> None:
        self._parties[record["party"]] = Party(self._groups[record["group"]], record["priority"], record["party"])

    # ------------------------------------------------------------------------------------------------------ stimuli
    def _demand(self, needs: list[list[int]]) -> Demand:
        return Demand(added(tuple((self.limits[limit], amount) for limit, amount in needs)))

    def _claim(self, data: Record) -> Claim:
        if data["claim"] in self.claims:
            raise AdmissionError(f"claim {data['claim']} was enqueued before")
        parent = None if data["parent"] is None else self.claims[data["parent"]]
        party = self._parties[data["party"]]
        claim = Claim(party, self._demand(data["needs"]), data["order"], data["claim"], parent)
        if "age" in data:
            claim.back_since = self.claims[data["age"]].seq
        self.claims[data["claim"]] = claim
        return claim

    def _on_enqueue(self, record: Record) -> None:
        self.hall.enqueue([[self._claim(record)]])

    def _on_ghosts(self, record: Record) -> None:
        pairs = [[self._claim(part) for part in ghost if part is not None] for ghost in record["ghosts"]]
        self.hall.enqueue(pairs)

    def _on_withdraw(self, record: Record) -> None:
        claim = self.claims[record["claim"]]
        if claim.state not in {State.WAITING, State.GRANTED}:
            raise AdmissionError(f"claim {claim.owner} is withdrawn, but is {claim.state.value}")
        self.hall.withdraw(claim)

    def _on_release(self, record: Record) -> None:
        limits = None if record["limits"] is None else [self.limits[limit] for limit in record["limits"]]
        self.hall.release(self.claims[record["claim"]], limits)

    def _on_resize(self, record: Record) -> None:
        self.limits[record["limit"]].capacity = record["capacity"]

    def _on_pause(self, record: Record) -> None:
        self.limits[record["limit"]].paused = True

    def _on_resume(self, record: Record) -> None:
        self.limits[record["limit"]].paused = False

    def _on_rematch(self, record: Record) -> None:
        claim = self.claims[record["claim"]]
        lost = self.hall.rematch(claim, self._demand(record["needs"]))
        if lost is not None:
            self.owe("DropTicket", lost.main)

    def _on_priority(self, record: Record) -> None:
        self.hall.reprioritise(self._parties[record["party"]], record["priority"])

    def _on_order(self, record: Record) -> None:
        self.claims[record["claim"]].order = record["order"]

    def _on_remote_grant(self, record: Record) -> None:
        self.tickets.append(self.claims[record["claim"]])

    def _on_remote_refuse(self, record: Record) -> None:
        self.hall.refuse_remote(self.claims[record["claim"]])

    def _borrower(self, record: Record) -> Claim | Party:
        return self._parties[record["party"]] if "party" in record else self.claims[record["claim"]]

    def _on_lend(self, record: Record) -> None:
        self.hall.lend(self.claims[record["lender"]], self._borrower(record))

    def _on_unlend(self, record: Record) -> None:
        self.hall.unlend(self.claims[record["lender"]], self._borrower(record))

    def _on_unpark(self, record: Record) -> None:
        self.hall.unpark(self.claims[record["claim"]])
