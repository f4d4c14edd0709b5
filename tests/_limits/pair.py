"""Model and core side by side: one step is applied to both, and whatever can be seen of them must be the same.

A step is a tuple of a verb and plain numbers, so a history can be printed, cut down and replayed. A step that makes no
sense in the state it meets (its claim was cut out, or ended another way) is skipped on both sides.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from asyncflow._limits.audit import Claim as ModelClaim
from asyncflow._limits.log import DecisionLog
from asyncflow.errors import AsyncflowError
from tests._limits.model import ModelAdmission

Step = tuple[Any, ...]
NeedIds = tuple[tuple[int, int], ...]


class DifferenceError(AssertionError):
    """Two sides that must agree do not, or an invariant does not hold."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What a history starts from."""

    max_overtakes: int = 64
    fair: bool = True
    limits: tuple[tuple[int | None, bool, bool, bool], ...] = ()  # capacity, named, reentrant, external
    weights: tuple[float, ...] = ()  # of the groups
    parties: tuple[tuple[int, int], ...] = ()  # group, priority


@dataclass(frozen=True, slots=True)
class Kit:
    """How to make one side: the factory of its admission, and its class of claims."""

    name: str
    admission: Callable[..., Any]
    claim: Callable[..., Any]
    own: Callable[[Any, Any, Any], int]
    borrowed: Callable[[Any, Any, Any], int]
    again: Callable[..., Any]
    full: bool = False  # has log, explanations and snapshots


MODEL = Kit(
    "model",
    ModelAdmission,
    ModelClaim,
    lambda admission, claim, limit: admission.hall.books.owned(claim, limit),
    lambda admission, claim, limit: admission.hall.books.borrowed(claim, limit),
    lambda earlier, demand: ModelClaim(
        earlier.party, demand, earlier.order, earlier.owner, earlier.parent, back_since=earlier.age
    ),
)


@dataclass(frozen=True, slots=True)
class Mode:
    """What is done beside the comparison: keep a log, call the self-check, compare explanations and snapshots."""

    logged: bool = True
    checked: bool = True
    explained: bool = True


EARMARK_NS, EARMARK_CAP_NS = 3, 10


class Side:
    """One admission with the numbers by which steps name its limits, parties and claims."""

    def __init__(self, kit: Kit, setup: Setup, *, log: object = None) -> None:
        self.kit = kit
        options = {"log": log} if log is not None else {}
        self.admission = kit.admission(
            max_overtakes=setup.max_overtakes,
            fair=setup.fair,
            earmark_ns=EARMARK_NS,
            earmark_cap_ns=EARMARK_CAP_NS,
            **options,
        )
        self.limits = [
            self.admission.limit(f"l{number}", capacity, named=named, reentrant=reentrant, external=external)
            for number, (capacity, named, reentrant, external) in enumerate(setup.limits)
        ]
        self.groups = [self.admission.group(f"g{number}", weight) for number, weight in enumerate(setup.weights)]
        self.parties = [self.admission.party(self.groups[group], priority=prio) for group, prio in setup.parties]
        self.claims: dict[int, Any] = {}
        self.numbers: dict[int, int] = {}
        self.demands: dict[NeedIds, Any] = {}
        self.commands: list[tuple[str, int]] = []

    def demand(self, needs: NeedIds) -> Any:
        demand = self.demands.get(needs)
        if demand is None:
            demand = self.admission.demand([(self.limits[limit], amount) for limit, amount in needs])
            self.demands[needs] = demand
        return demand

    def claim(self, number: int, party: int, needs: NeedIds, order: int, parent: int, owner: Hashable = None) -> Any:
        above = self.claims.get(parent)
        claim = self.kit.claim(
            self.parties[party], self.demand(needs), order, number if owner is None else owner, above
        )
        self.claims[number] = claim
        self.numbers[id(claim)] = number
        return claim

    def number(self, claim: Any) -> int:
        return self.numbers[id(claim)]

    # ------------------------------------------------------------------------------------------------ applying
    def apply(self, step: Step) -> Any:
        return getattr(self, f"_do_{step[0]}")(*step[1:])

    def _do_enqueue(self, number: int, party: int, needs: NeedIds, order: int, parent: int) -> None:
        self.admission.enqueue(self.claim(number, party, needs, order, parent))

    def _do_again(self, number: int, earlier: int, needs: NeedIds) -> None:
        if self.state(earlier) != "ENDED":
            raise KeyError(earlier)
        claim = self.kit.again(self.claims[earlier], self.demand(needs))
        self.claims[number] = claim
        self.numbers[id(claim)] = number
        self.admission.enqueue_again(claim)

    def _do_many(self, batch: tuple[tuple[int, int, NeedIds, int, int], ...]) -> None:
        self.admission.enqueue_many([self.claim(*one) for one in batch])

    def _do_ghosts(
        self, numbers: tuple[tuple[int, int], ...], party: int, needs: NeedIds, roots: Any, parent: int
    ) -> None:
        ghosts: list[tuple[Any, Any]] = []
        for place, ((run, root), root_needs) in enumerate(zip(numbers, roots, strict=True)):
            run_claim = self.claim(run, party, needs, place, parent, owner=f"run{numbers[0][0]}")
            ghosts.append((run_claim, None if root < 0 else self.claim(root, party, root_needs, place, -1)))
        self.admission.enqueue_ghosts(ghosts)

    def _do_withdraw(self, number: int) -> None:
        self.admission.withdraw(self.claims[number])

    def _do_release(self, number: int) -> None:
        self.admission.release(self.claims[number])

    def _do_early(self, number: int, limits: tuple[int, ...]) -> None:
        self.admission.release(self.claims[number], [self.limits[limit] for limit in limits])

    def _do_resize(self, limit: int, capacity: int | None) -> None:
        self.admission.resize(self.limits[limit], capacity)

    def _do_pause(self, limit: int) -> None:
        self.admission.pause(self.limits[limit])

    def _do_resume(self, limit: int) -> None:
        self.admission.resume(self.limits[limit])

    def _do_rematch(self, number: int, needs: NeedIds) -> None:
        self.admission.rematch(self.claims[number], self.demand(needs))

    def _do_weight(self, group: int, weight: float) -> None:
        self.admission.group(f"g{group}", weight)

    def _do_priority(self, party: int, priority: int) -> None:
        self.admission.reprioritise(self.parties[party], priority=priority)

    def _do_order(self, number: int, order: int) -> None:
        self.admission.reprioritise(self.claims[number], order=order)

    def _do_remote_grant(self, number: int) -> None:
        self.admission.external_grant(self.claims[number])

    def _do_remote_refuse(self, number: int) -> None:
        self.admission.external_refused(self.claims[number])

    def _borrower(self, kind: str, number: int) -> Any:
        return self.parties[number] if kind == "party" else self.claims[number]

    def _do_lend(self, lender: int, kind: str, borrower: int) -> None:
        self.admission.lend(self.claims[lender], self._borrower(kind, borrower))

    def _do_unlend(self, lender: int, kind: str, borrower: int) -> None:
        self.admission.unlend(self.claims[lender], self._borrower(kind, borrower))

    def _do_unpark(self, number: int) -> None:
        self.admission.unpark(self.claims[number])

    def _do_round(self, now: int) -> list[int]:
        grants = [self.number(claim) for claim in self.admission.admit(now)]
        drained, self.admission.commands = self.admission.commands, []
        self.commands = sorted((kind_of(command), self.number(command.claim)) for command in drained)
        return grants

    # ------------------------------------------------------------------------------------------------- reading
    def state(self, number: int) -> str:
        claim = self.claims.get(number)
        return "none" if claim is None else claim.state.name

    def seen(self) -> dict[str, Any]:
        """All that can be seen of this side, by numbers."""
        kit, admission = self.kit, self.admission
        grants: dict[int, Any] = {}
        for number, claim in self.claims.items():
            if claim.state.name == "GRANTED":
                grants[number] = [
                    (place, own, borrowed)
                    for place, limit in enumerate(self.limits)
                    if (own := kit.own(admission, claim, limit)) | (borrowed := kit.borrowed(admission, claim, limit))
                ]
        return {
            "states": {number: claim.state.name for number, claim in self.claims.items()},
            "grants": grants,
            "limits": [(limit.held, limit.reserved, limit.debt, limit.capacity, limit.paused) for limit in self.limits],
            "gatherers": [self.number(claim) for claim in admission.gatherers()],
            "commands": self.commands,
        }


def kind_of(command: Any) -> str:
    """The name of a command, on either side."""
    kind = getattr(command, "kind", None)
    return kind if isinstance(kind, str) else type(command).__name__


class Pair:
    """The model and what is held to it."""

    def __init__(self, setup: Setup, kit: Kit, *, log: DecisionLog | None = None) -> None:
        self.setup = setup
        self.log = log
        self.model = Side(MODEL, setup)
        self.core = Side(kit, setup, log=log)
        self.now = 0
        self.starts = 0

    def apply(self, step: Step) -> list[int]:
        """Applies one step to both sides and compares them; returns the numbers granted, in order.

        Raises:
            DifferenceError: with what differs.
        """
        if not self.applicable(step):
            return []
        if step[0] == "round":
            self.now += step[1]
            step = ("round", self.now)
        expected, refused = attempt(self.model, step)
        actual, also = attempt(self.core, step)
        if (refused is None) != (also is None):
            raise DifferenceError(f"{step}: the model says {refused!r}, the core says {also!r}")
        if expected != actual:
            raise DifferenceError(f"{step}: granted by the model {expected}, by the core {actual}")
        if step[0] == "round":
            self.starts += len(expected)
            self._compare()
            self._compare_waits(expected)
        return expected or []

    def _compare(self) -> None:
        model, core = self.model.seen(), self.core.seen()
        for what in model:
            if model[what] != core[what]:
                raise DifferenceError(
                    f"{what} after the round at {self.now}:\n  model {model[what]}\n  core  {core[what]}"
                )

    def _compare_waits(self, granted: list[int]) -> None:
        for number in granted:
            model, core = self.model.claims[number], self.core.claims[number]
            waits = core.waits()
            if model.waits() != waits:
                raise DifferenceError(f"waits of {number}:\n  model {model.waits()}\n  core  {waits}")
            if sum(waits.values()) != core.granted_at - core.enqueued_at:
                raise DifferenceError(
                    f"waits of {number} sum to {sum(waits.values())}: {core.enqueued_at}–{core.granted_at}"
                )

    def applicable(self, step: Step) -> bool:
        """Whether the claims that `step` names are there, and in a state in which it may be used."""
        verb, model = step[0], self.model
        if verb in {"withdraw", "release", "early", "rematch", "order", "remote_grant", "remote_refuse", "unpark"}:
            return step[1] in model.claims
        if verb in {"lend", "unlend"}:
            return step[1] in model.claims and (step[2] == "party" or step[3] in model.claims)
        return True


def attempt(side: Side, step: Step) -> tuple[Any, Exception | None]:
    """Applies a step; a refusal is a result too."""
    try:
        return side.apply(step), None
    except AsyncflowError as refusal:
        return None, refusal
