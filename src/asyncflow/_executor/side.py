"""A side of a stream: the source, or an op that reads. While it waits for the others it lends them what it holds.

A source waits while its window is full, a reader while nothing is there to read. Where ops of the same stream wait for
a limit that the side has units of, they may use these: an edge to the hub, the claim all items run inside, and to every
other side that has not started. A source whose consumers could otherwise not start waits too, even though its window
has room: so the items that were begun are finished first, and the first consumer starts before the second item exists.

Going on is a wait of its own. Where nothing that the side lent is away, it just goes on. Otherwise it asks anew for
what it holds, inside the hub, in the place of the next item, or of what the reader reads next: a *leg*, which may
borrow from whoever is parked. The leg is given back when the side waits again, or has its own units back.

Rejected: taking the same units back and forth between two claims that live as long as the stream. Every hand-over
leaves a loan behind it, and a million of these do not fit; a leg's loans end with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from asyncflow._executor.block import Block
from asyncflow._limits import Claim, chain
from asyncflow._scheduler import BLOCKED
from asyncflow.errors import ConfigurationError, DeadlockError, StalledError

if TYPE_CHECKING:
    import asyncio

    from asyncflow._executor.engine import Engine
    from asyncflow._executor.execution import Execution
    from asyncflow._executor.flow import Flow
    from asyncflow._executor.run_state import RunState
    from asyncflow._plan import Order


class Leg(Block):
    """What a side asks for in order to go on while others use what it holds.

    Args:
        side: The side.
        claim: What it holds.
        hub: What the items of its stream run inside.
        order: Its place among them.
    """

    __slots__ = ("side",)

    def __init__(self, side: Side, claim: Claim, *, hub: Claim, order: Order) -> None:
        frame, i = claim.owner
        self.engine = side.engine
        self.home = frame.run.home
        self.label = f"{frame.run.graph}/{frame.key(i)} (going on)"
        self.side = side
        self.claim = Claim(claim.party, claim.demand, order, self, hub)

    @property
    def waits(self) -> bool:
        """True until it is granted or taken back."""
        return self.claim.waiting

    def granted(self, engine: Engine) -> None:
        """A round granted it: the side goes on."""
        del engine
        self._waits_no_more(self.engine)
        self.side.go_on()

    def deadlocked(self, engine: Engine, chain: tuple[str, ...]) -> None:
        """No release could ever let the side go on."""
        del engine
        self._waits_no_more(self.engine)
        self.side.refuse(DeadlockError(f"{self.label} is impossible: {' → '.join(chain)}", chain=chain))

    def given_up(self, engine: Engine, error: BaseException) -> None:
        """A defect ended the engine."""
        del engine
        self._waits_no_more(self.engine)
        defect = StalledError(f"{self.label} was given up after an internal error of asyncflow: {error!r:.200}")
        defect.__cause__ = error
        self.side.refuse(defect)


class Side:
    """One op of a stream that may have to wait for the others.

    Args:
        flow: A stream it belongs to: it is its source, or reads it. All that are linked to it are meant with it.
        claim: What it holds.
    """

    __slots__ = ("_edges", "_fresh", "_leg", "_may", "_order", "_waiter", "claim", "engine", "flow", "why")

    def __init__(self, flow: Flow, claim: Claim) -> None:
        self.engine: Engine = flow.engine
        self.flow = flow
        self.claim = claim
        self.why = ""
        self._waiter: asyncio.Future[None] | None = None
        self._may: Callable[[], bool] = _always
        self._order: Callable[[], Order] = _nowhere
        self._leg: Leg | None = None
        self._edges: list[Claim] = []
        self._fresh = False

    @property
    def waits(self) -> bool:
        """True while it waits for the other sides, or for what it needs to go on."""
        return self._waiter is not None

    @property
    def asks(self) -> bool:
        """True while it wants to go on and others have what it holds."""
        return self._leg is not None and self._leg.waits

    async def wait(self, flow: Flow, *, may: Callable[[], bool], order: Callable[[], Order], why: str) -> None:
        """Waits until `may` says so, and until nobody of the stream who could use what it holds waits for that.

        Args:
            flow: The stream it waits for.
            may: Whether it could go on, as far as items are concerned.
            order: Its place among the ops of the stream, where it has to ask for what it lent.
            why: What it waits for, for people.

        Raises:
            DeadlockError: where no release could ever let it go on.
        """
        if self.waits:
            raise RuntimeError("this op waits for its stream in another task already; one task reads at a time")
        engine = self.engine
        self._drop_leg()
        waiter = self._waiter = engine.loop.create_future()
        self._may, self._order, self.why = may, order, why
        engine.parked[self] = flow
        try:
            self.look()
            await waiter
        finally:
            self._waiter = None
            self.why = ""
            self._unlend()
            if self._leg is None or not self._leg.claim.granted:
                self._drop_leg()
                engine.parked.pop(self, None)

    def look(self, *, after_round: bool = False) -> None:
        """Something changed: it may go on, or has to lend, or gets its own units back."""
        waiter = self._waiter
        if waiter is None:
            if self._leg is None or self._whole() or not self.claim.granted:
                self._drop_leg()
                self.engine.parked.pop(self, None)
            return
        if waiter.done() or self.engine.broken:
            return
        self._fresh = self._fresh and not after_round
        if self._edges:
            self._lend()
            if self._may() and not self._fresh and self._leg is None:
                self._ask()
        elif self._is_needed():
            self._fresh = True
            self._lend()
        elif self._may() and self._leg is None:
            self._ask()

    def reach(self) -> None:
        """A round comes: whoever joined the stream since it began to lend may borrow too."""
        if self._edges:
            self._lend()

    def go_on(self) -> None:
        """It has all it needs: from now on it lends nothing, though its task is resumed a turn later."""
        if self._waiter is not None and not self._waiter.done():
            self._unlend()
            self._waiter.set_result(None)

    def refuse(self, error: Exception) -> None:
        """It can never go on."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)

    def close(self) -> None:
        """The op has ended: nothing of it stays in the core."""
        self._drop_leg()
        self._unlend()
        self.engine.parked.pop(self, None)

    # ── lending ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _is_needed(self) -> bool:
        """Returns whether an op of the stream waits for a limit of which this side holds units that it may lend."""
        crowded = [limit for limit, _ in self.claim.demand.needs if limit.crowd is not None]
        if not crowded or (self._may() and not all(limit.reentrant for limit in crowded)):
            return False
        return any(flow.has_blocked(self) for flow in self.flow.linked)

    def _lend(self) -> None:
        """Lets the items, and every other side that has not started, borrow what it holds."""
        core = self.engine.core
        for flow in self.flow.linked:
            for borrower in (flow.hub, *flow.unstarted(self)):
                if borrower not in self._edges:
                    self._edges.append(borrower)
                    core.lend(self.claim, borrower)
                    self._wake()

    def _unlend(self) -> None:
        edges, self._edges = self._edges, []
        if self.engine.broken or not self.claim.granted:
            return
        for borrower in edges:
            self.engine.core.unlend(self.claim, borrower)
            self._wake()

    def _whole(self) -> bool:
        """Returns whether nothing that it lent is away; what its own children and its leg have does not count."""
        holding = self.claim.holding
        if holding is None:
            return True
        leg = None if self._leg is None else self._leg.claim
        return all(loan.borrower is leg or self.claim in chain(loan.borrower.parent) for loan in holding.lent)

    def _ask(self) -> None:
        """It could go on as far as items are concerned: it does, or asks for what is away."""
        if self._whole():
            self.go_on()
            return
        leg = self._leg = Leg(self, self.claim, hub=self.engine.parked[self].hub, order=self._order())
        self.engine.core.lend(self.claim, leg.claim)  # what is not away
        leg.enqueue()

    def _drop_leg(self) -> None:
        leg, self._leg = self._leg, None
        if leg is not None:
            if self.claim.granted and not self.engine.broken:
                self.engine.core.unlend(self.claim, leg.claim)
            leg.leave()

    def _wake(self) -> None:
        self.engine.stale = True
        self.engine.wake()

    def __repr__(self) -> str:
        state = "waits" if self.waits else "runs"
        return f"<side {self.claim.owner!r} {state}{' lending' if self._edges else ''}{' asking' if self.asks else ''}>"


def side_of(frame: Execution, i: int) -> Side:
    """Returns an op that runs as a side of the streams that it is the source of, or reads.

    Raises:
        ConfigurationError: where it does not run.
    """
    claim = frame.claims[i]
    if claim is None:
        raise ConfigurationError(f"{frame.key(i)} does not run; this is a defect of asyncflow")
    side = frame.sides.get(i)
    if side is None or side.claim is not claim:
        if not frame.sides:
            frame.sides = {}
        side = frame.sides[i] = Side(next(flow for flow in frame.streams.values() if flow.has_side(i)), claim)
    return side


def is_blocked(frame: Execution, run: RunState) -> bool:
    """Returns whether an op of an execution waits for limits, or one of what runs inside its ops and streams."""
    if frame.status.find(BLOCKED) >= 0:
        return True
    inside = [flow.hub for flow in frame.streams.values()]
    inside += [claim for claim in frame.claims if claim is not None and claim in run.children]
    return any(is_blocked(child, run) for claim in inside for child in run.children.get(claim, ()))


def _always() -> bool:
    return True


def _nowhere() -> Order:
    return ()
