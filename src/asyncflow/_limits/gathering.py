"""Gathering: who is passed too often gets free units kept for it.

Passing over what does not fit keeps limits busy, and starves the wide: one op that needs a whole pool would wait 905 s
beside a stream of small ones, 20 s with this. Counting per waiter looks right and is not: hundreds gather at once.
`Line` says what is counted instead.

Reservations follow from the gatherers in their order and from what is free; they are never carried over. They are
computed again where that can matter: a gatherer's walk depends on the limits it read, so a limit that changed calls
its readers, and a reservation that changed calls the readers after it.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable
from heapq import heapify, heappop, heappush

from asyncflow._limits.band import NeedClass
from asyncflow._limits.claim import Claim
from asyncflow._limits.crowd import Crowd
from asyncflow._limits.demand import Demand
from asyncflow._limits.gatherer import Gatherer
from asyncflow._limits.limit import Limit


class Gathering:
    """All gatherers and what is reserved for them.

    Attributes:
        gatherers: In their order.
        promotions: How many there have been.
        risen: Limits on which a reservation shrank since somebody asked.
        touched: Limits on which one changed.
    """

    __slots__ = ("gatherers", "promotions", "risen", "touched")

    def __init__(self) -> None:
        self.gatherers: list[Gatherer] = []
        self.promotions = 0
        self.risen: list[Limit] = []
        self.touched: list[Limit] = []

    def add(self, claim: Claim, home: NeedClass, *, number: int | None = None) -> Gatherer:
        """Makes a waiter a gatherer; it stands outside its cell from now on."""
        if number is None:
            self.promotions += 1
            number = self.promotions
        gatherer = Gatherer(claim, number, home)
        insort(self.gatherers, gatherer, key=_rank)
        self.compute([gatherer])
        return gatherer

    def remove(self, gatherer: Gatherer) -> None:
        """It starts, left, or lost its place by a change of demand or priority."""
        self.gatherers.remove(gatherer)
        gatherer.home.covered.pop(gatherer, None)
        gatherer.home.alone.pop(gatherer, None)
        self.compute(self._rewrite(gatherer, {}))

    def compute(self, changed: Iterable[Gatherer]) -> None:
        """Walks again for gatherers on whose limits something changed, and for those after them that this concerns."""
        todo = [(one.rank, one) for one in dict.fromkeys(changed)]
        heapify(todo)
        done: Gatherer | None = None
        while todo:
            _, gatherer = heappop(todo)
            if gatherer is done:
                continue
            done = gatherer
            for later in self._rewrite(gatherer, gatherer.walk()):
                heappush(todo, (later.rank, later))
            self._place(gatherer)

    def follow(self, limits: Iterable[Limit]) -> None:
        """Units of these limits came, went or were set aside."""
        readers: dict[Gatherer, None] = {}
        for limit in limits:
            if limit.crowd is not None:
                readers.update(limit.crowd.readers)
        if readers:
            self.compute(readers)

    def resort(self, limit: Limit) -> None:
        """A limit has another capacity: it may be scarcer or less scarce than before."""
        changed = [one for one in self.gatherers if any(need[0] is limit for need in one.needs)]
        for gatherer in changed:
            gatherer.sort()
        self.compute(changed)

    def judge(self, demand: Demand) -> None:
        """A demand can fit again, or can no more."""
        self.compute([one for one in self.gatherers if one.claim.asked is demand])

    def _rewrite(self, gatherer: Gatherer, kept: dict[Limit, int]) -> list[Gatherer]:
        """Writes a gatherer's reservations beside the limits; returns the later ones that read what changed."""
        before = gatherer.kept
        gatherer.kept = kept
        later: dict[Gatherer, None] = {}
        for limit in {**before, **kept}:
            crowd = Crowd.of(limit)
            old, new = before.get(limit, 0), kept.get(limit, 0)
            if new:
                crowd.kept[gatherer] = new
            else:
                crowd.kept.pop(gatherer, None)
            if limit in kept:
                crowd.readers[gatherer] = None
            else:
                crowd.readers.pop(gatherer, None)
            if new != old:
                self.touched.append(limit)
                if new < old:
                    self.risen.append(limit)
                later.update(dict.fromkeys([one for one in crowd.readers if one.rank > gatherer.rank]))
        return list(later)

    @staticmethod
    def _place(gatherer: Gatherer) -> None:
        """Lets rounds find it while it fits, or has to be looked at because it may borrow."""
        home, claim = gatherer.home, gatherer.claim
        home.covered.pop(gatherer, None)
        home.alone.pop(gatherer, None)
        if claim.role is not None and (claim.role.earmark is not None or claim.role.resting):
            return
        if gatherer.covered:
            home.covered[gatherer] = None
            home.show()
        elif claim.cell is not None and claim.cell.nested:
            home.alone[gatherer] = None
            home.show()


def _rank(gatherer: Gatherer) -> tuple[int, int]:
    return gatherer.rank
