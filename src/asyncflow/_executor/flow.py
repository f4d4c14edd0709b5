"""A stream while it runs: a source, the branches that take its items, and the ops that read one by one.

The source's body runs ahead of its takers by at most a window: after each item it lets the loop turn, so that the
item's first consumer starts before the next item exists, and where the window is full its body is simply not resumed.

Nothing is appended to the run's tables: items run in executions of their own and are forgotten. What stands for the
stream in the tables are the nodes that were wired. A map ends when the source has ended and its last item has; a STREAM
node ends with the first result, since the op behind it starts then.

Where nobody takes items any more (the op that reads has returned, a map was abandoned), the source is closed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from anyio import CancelScope

from asyncflow._authoring import WINDOW
from asyncflow._executor.branch import Branch
from asyncflow._executor.ending import settle
from asyncflow._executor.item import ItemExecution
from asyncflow._executor.reader import StreamReader
from asyncflow._executor.side import Side, is_blocked, side_of
from asyncflow._limits import Claim
from asyncflow._plan import Stage
from asyncflow._scheduler import BLOCKED, RETRYING, SKIPPED, SUCCEEDED, WAITING, Broken, Lane, Queue, Takers, takers_of

if TYPE_CHECKING:
    from asyncflow._executor.engine import Engine
    from asyncflow._executor.execution import Execution
    from asyncflow._plan import Order
    from asyncflow.results import OpResult, OpStatus


class Flow:
    """The stream of one source.

    Args:
        engine: Where it runs.
        frame: The execution that the source stands in.
        source: The source.
        takers: What takes its items one by one.

    Attributes:
        hub: The claim that all items run inside; it holds nothing itself.
        branches: The chains of maps.
        queues: The results that ops read one by one.
        lane: The items of the source as such, for those who take them without a map.
        produced: How many items there were.
        over: True when the source gives no more.
        linked: The streams, this one among them, that ops connect which read one and give another.
        scope: What the source's body runs in.
        causes: For maps that were abandoned because of an item, the key of the op that failed.
    """

    __slots__ = (
        "_broken",
        "_closed",
        "_taken",
        "branches",
        "causes",
        "engine",
        "frame",
        "hub",
        "lane",
        "lanes",
        "linked",
        "over",
        "produced",
        "queues",
        "scope",
        "source",
    )

    def __init__(self, engine: Engine, frame: Execution, source: int, takers: Takers) -> None:
        self.engine = engine
        self.frame = frame
        self.source = source
        self.produced = 0
        self.over = False
        self.scope: CancelScope | None = None
        self.linked: list[Flow] = [self]
        self.causes: dict[int, str] = {}
        self._broken: Broken | None = None
        self._closed = False
        self._taken = dict.fromkeys([source, *[stage.id for stage in takers.maps]], 0)
        for feed in [*[stage.feed for stage in takers.maps], *[feed for _, feed, _ in takers.streams]]:
            self._taken[feed] += 1
        self.hub = Claim(frame.run.party, engine.core.demand(()), (), (frame, source), frame.parent)
        engine.core.grant_nothing(self.hub)
        self.lane = Lane(keep=self.reads_whole(source))
        self.branches = [Branch(self, chain) for chain in chains(source, takers.maps)]
        self.lanes = {source: self.lane}
        for branch in self.branches:
            self.lanes.update(branch.lanes)
        self.queues: list[Queue] = []
        for node, feed, reader in takers.streams:
            queue = Queue(node, reader)
            self.queues.append(queue)
            self.lanes[feed].queues.append(queue)

    # ── who takes items ───────────────────────────────────────────────────────────────────────────────────────────

    def reads_whole(self, i: int) -> bool:
        """Returns whether somebody reads the whole list of the source or of a map."""
        return self.frame.readers[i] > self._taken[i]

    def reads(self, queue: Queue) -> bool:
        """Returns whether an op still reads, or will."""
        return (
            queue.broken is None
            and self.frame.status[queue.stream] <= SUCCEEDED
            and (self.frame.status[queue.reader] <= RETRYING)
        )

    def is_wanted(self) -> bool:
        """Returns whether anybody takes what the source gives."""
        if self.lane.kept is not None or not self._taken[self.source]:
            return True
        if any(self.reads(queue) for queue in self.lane.queues):
            return True
        return any(branch.alive and self._wants(branch) for branch in self.branches)

    def _wants(self, branch: Branch) -> bool:
        """Returns whether somebody needs the results of a branch, or it runs for its effect."""
        for stage in branch.stages:
            others = sum([1 for _ in self.frame.waiters_of(stage.id)]) - self._taken[stage.id]
            if others or self.lanes[stage.id].kept is not None or not self._taken[stage.id]:
                return True
            if any(self.reads(queue) for queue in self.lanes[stage.id].queues):
                return True
        return False

    def reader_ended(self, i: int) -> None:
        """An op that may have read has ended. Where nobody takes items any more, a source is not waited for."""
        if self.scope is not None and any(queue.reader == i for queue in self.queues) and not self.is_wanted():
            self.scope.cancel(f"nobody takes what {self.frame.key(self.source)} gives any more")

    def is_full(self) -> bool:
        """Returns whether the source is as far ahead as it may be."""
        if any(branch.alive and branch.ahead >= branch.window for branch in self.branches):
            return True
        return any(self.reads(queue) and self.lane.unread(queue) >= WINDOW for queue in self.lane.queues)

    # ── the source ────────────────────────────────────────────────────────────────────────────────────────────────

    def side(self) -> Side:
        """Returns the source as a side of this stream, and of the one that it reads itself."""
        return side_of(self.frame, self.source)

    def give(self, value: object) -> None:
        """The source gave an item."""
        index = self.produced
        self.produced += 1
        self.lane.put(index, value)
        for branch in self.branches:
            if branch.alive:
                branch.launch(index, value)
        self.results_came()

    async def pace(self, side: Side) -> bool:
        """Lets the takers go first; returns whether the source is to go on.

        Raises:
            DeadlockError: where no release could ever let it go on.
        """
        if self.is_full() or (self.frame.open > 1 and self.is_short(side)):
            await side.wait(self, may=self.may_give, order=self._next_place, why="the items that are not done")
        return self.is_wanted()

    def is_short(self, side: Side) -> bool:
        """Returns whether somebody waits for a limit that the source holds units of."""
        crowded = any(limit.crowd is not None for limit, _ in side.claim.demand.needs)
        return crowded and any(flow.has_blocked(side) for flow in self.linked)

    def may_give(self) -> bool:
        """Returns whether the source may go on, or is to end."""
        return not self.is_full() or not self.is_wanted()

    def _next_place(self) -> Order:
        """The place of the source among the ops of its stream: that of the next item, before its first stage."""
        if self.branches:
            return self.branches[0].order_of(0, self.produced, 1)
        return self.frame.orders[self.source]

    def end(self, broken: Broken | None) -> None:
        """The source gives no more items."""
        self.over = True
        self._broken = broken
        self.lane.end(broken)
        for branch in self.branches:
            if not branch.items:
                branch.end(broken)
        self.results_came()

    # ── items ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def items(self) -> list[ItemExecution]:
        """Returns the items that have not ended."""
        return [item for branch in self.branches for item in branch.items]

    def item_ended(self, branch: Branch) -> None:
        """An item of a branch has ended."""
        frame, engine = self.frame, self.engine
        ended = self.over and not branch.items
        if ended:
            branch.end(self._broken)
        self.results_came()
        if ended and not frame.closed:
            for stage in branch.stages:
                if not frame.missing[stage.id]:
                    self.arrive(stage.id)
            engine.advance(frame, engine.clock())
        if not frame.open:
            settle(engine, frame)

    def arrive(self, i: int) -> None:
        """Everything that map `i` waits for has ended: so does the map, unless some of its items have not."""
        frame = self.frame
        branch = next(one for one in self.branches if i in one.lanes)
        if branch.items or frame.status[i] != WAITING:
            return
        stage = next(one for one in branch.stages if one.id == i)
        lane = branch.lanes[i]
        captures = () if stage.node.fragment is None else stage.node.fragment.captures
        lost = [j for j in captures if frame.status[j] > SUCCEEDED and frame.status[j] != SKIPPED]
        if lost:
            cause = frame.blame.get(lost[0], lost[0])
            self.causes[i] = frame.cause_key(cause)
            frame.abandon(i, frame.errors.get(cause))
        elif lane.broken is not None:
            self.causes[i] = lane.broken.key
            frame.abandon(i, lane.broken.error)
        else:
            frame.unread((stage.feed, *captures))
            frame.succeed(i, lane.kept)

    # ── those who read ────────────────────────────────────────────────────────────────────────────────────────────

    def results_came(self) -> None:
        """Something may be there to read, or to be made: whoever waits for it looks."""
        for queue in self.queues:
            if queue.results and self.frame.status[queue.stream] == WAITING and not self.frame.closed:
                self.open(queue)
        self.look()

    def look(self, *, but: int = -1) -> None:
        """Lets the sides look whether they may go on, all but one."""
        known = self.frame.sides
        if known:
            for i in (self.source, *[queue.reader for queue in self.queues]):
                if i != but and i in known:
                    known[i].look()

    def has_side(self, i: int) -> bool:
        """Returns whether an op is the source of this stream, or reads it."""
        return i == self.source or any(queue.reader == i for queue in self.queues)

    def open(self, queue: Queue) -> None:
        """The first result for an op is there: the op may start."""
        frame = self.frame
        if frame.status[queue.stream] != WAITING:
            return
        order = self._reader_order(queue)
        if order is not None:
            if frame.orders is frame.plan_orders:
                frame.orders = list(frame.orders)
            frame.orders[queue.reader] = order
        frame.succeed(queue.stream, StreamReader(self, queue))
        self.engine.advance(frame, self.engine.clock())

    def _reader_order(self, queue: Queue) -> Order | None:
        """The place of an op that reads among the ops of the stream: the last stage of the item it reads next."""
        branch = next((one for one in self.branches for lane in one.lanes.values() if queue in lane.queues), None)
        if branch is None:
            return None
        op = self.frame.nodes[queue.reader].op
        priority = -op.options.priority if op is not None else 0
        return branch.order_of(priority, queue.taken, -float("inf"))

    def place_of_reader(self, queue: Queue) -> Order:
        """Returns where an op that reads stands when it asks for what it lent."""
        return self._reader_order(queue) or self.frame.orders[queue.reader]

    # ── sides ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def sides(self) -> list[Side]:
        """Returns the ops of this stream that run and may have to wait for each other."""
        known = self.frame.sides
        return [known[i] for i in (self.source, *[queue.reader for queue in self.queues]) if i in known]

    def has_blocked(self, side: Side) -> bool:
        """Returns whether another op of the stream than `side` waits for limits."""
        if any(is_blocked(item, self.frame.run) for branch in self.branches for item in branch.items):
            return True
        if any(other is not side and other.asks for other in self.sides()):
            return True
        return any(claim is not side.claim for claim in self.unstarted(side))

    def unstarted(self, side: Side) -> Iterator[Claim]:
        """Yields the claims of the source and the readers that wait for limits."""
        frame = self.frame
        for i in (self.source, *[queue.reader for queue in self.queues]):
            claim = frame.claims[i]
            if claim is not None and frame.status[i] == BLOCKED and claim.waiting and claim is not side.claim:
                yield claim

    # ── the end ───────────────────────────────────────────────────────────────────────────────────────────────────

    def close(self) -> None:
        """The execution has ended: nothing of the stream stays in the core."""
        if self._closed:
            return
        self._closed = True
        for side in self.sides():
            side.close()
        if not self.engine.broken:
            self.engine.core.release(self.hub)

    def forget_demands(self) -> None:
        """Limits changed: items that come ask under the limits as they are."""
        for branch in self.branches:
            branch.demands = None

    def records(self) -> Iterator[tuple[str, OpResult]]:
        """Yields the records of ops that ran for items, by key."""
        for branch in self.branches:
            yield from branch.ledger.records.items()

    def counts(self) -> Iterator[tuple[tuple[str, OpStatus], int]]:
        """Yields how many ops of each kind ended how."""
        for branch in self.branches:
            yield from branch.ledger.counts()

    def waits(self) -> Iterator[tuple[str, int]]:
        """Yields what the ops that ran for items waited for, in nanoseconds."""
        for branch in self.branches:
            yield from branch.ledger.waits.items()

    def __repr__(self) -> str:
        return f"<stream of {self.frame.key(self.source)} produced={self.produced} items={len(self.items())}>"


def chains(source: int, maps: Sequence[Stage]) -> list[list[Stage]]:
    """Returns the maps in chains, each beginning with one that takes its items from the source itself."""
    found: list[list[Stage]] = []
    for stage in maps:
        if stage.feed == source:
            found.append([stage])
        else:
            next(chain for chain in found if any(one.id == stage.feed for one in chain)).append(stage)
    return found


def held_back(engine: Engine, frame: Execution, source: int) -> bool:
    """Opens the stream of a source whose inputs are there; returns whether it must wait for what its takers need."""
    op = frame.nodes[source].op
    if op is None or op.mode != "stream" or source in frame.streams:
        return False
    takers = takers_of(frame, source)
    unmet = takers.unmet(frame)
    if unmet:
        frame.link(source, unmet)
        return True
    if not frame.streams:
        frame.streams = {}
    flow = frame.streams[source] = Flow(engine, frame, source, takers)
    for other in tuple(frame.streams.values()):
        if other is not flow and other.has_side(source):
            _link(flow, other)
    return False


def _link(flow: Flow, other: Flow) -> None:
    """From now on the sides of both streams lend to each other: each may wait for the other."""
    joined = [*other.linked, *flow.linked]
    for one in joined:
        one.linked = joined


def arrived(frame: Execution, i: int) -> bool:
    """All that a map or a STREAM node waits for has ended; returns whether a stream takes care of it."""
    for flow in frame.streams.values():
        if i in flow.lanes and i != flow.source:
            flow.arrive(i)
            return True
        for queue in flow.queues:
            if queue.stream == i:
                flow.open(queue)
                return True
    return False
