"""Random histories of batches: all their parts, said by several sessions, also twice and about what is not there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import TypeAlias

from asyncflow.pools import Batch, Claim, Define, Need, PoolSpec, Quota, Release, Reprioritise, SessionSpec

HOUR = 3600.0
POOLS = ("a", "b", "c")
KEYS = (None, None, "x", "y")


@dataclass(frozen=True)
class Open:
    """A session opens."""

    spec: SessionSpec
    pools: tuple[PoolSpec, ...]


@dataclass(frozen=True)
class Close:
    """A session closes."""

    session: str


@dataclass(frozen=True)
class Exchange:
    """A session says something."""

    session: str
    batch: Batch


Step: TypeAlias = Open | Close | Exchange


@dataclass
class Historian:
    """Makes one history. Crowded ones have a small pool that many want, so that some are passed over and gather.

    `held` tells which sessions hold which tickets, so that they are given back often enough.
    """

    random: Random
    prefix: str
    held: Callable[[], list[tuple[str, str]]]
    sessions: list[str] = field(default_factory=list[str])
    tickets: list[str] = field(default_factory=list[str])
    made: int = 0

    def history(self, steps: int) -> Iterator[Step]:
        """Yields the steps."""
        yield self.open()
        crowded = self.random.random() < 0.5
        for _ in range(steps):
            draw = self.random.random()
            if draw < 0.02 or not self.sessions:
                yield self.open()
            elif draw < 0.03:
                yield Close(self.sessions.pop(self.random.randrange(len(self.sessions))))
            else:
                session = self.random.choice(self.sessions)
                step = self.crowd(session) if crowded else Exchange(session, self.batch())
                yield step
                if self.random.random() < 0.1:
                    yield step  # as after a lost reply

    def open(self) -> Open:
        """A session opens, most often a new one."""
        if self.sessions and self.random.random() < 0.2:
            return Open(SessionSpec(self.random.choice(self.sessions), self.prefix, ttl=600.0), ())
        self.made += 1
        name = f"{self.prefix}.s{self.made}"
        self.sessions.append(name)
        specs = [PoolSpec(pool, self.quota()) for pool in POOLS if self.random.random() < 0.6]
        default = self.random.choice([None, 1, 3])
        return Open(SessionSpec(name, self.prefix, ttl=600.0, default_limit=default), tuple(specs))

    def crowd(self, session: str) -> Exchange:
        """Few wide tickets among many narrow ones that come, and go one by one."""
        random = self.random
        claims = [self.narrow() for _ in range(random.choice([1, 1, 2]))]
        if random.random() < 0.05:
            claims.append(self.claim([Need("a", 2), Need("b", 1)]))
        if not claims and random.random() < 0.2:
            claims.append(self.any_claim())
        releases: tuple[Release, ...] = ()
        held = self.held()
        if held and random.random() < 0.9:
            session, ticket = random.choice(held)
            releases = (Release(ticket),)
        define = (Define("a", Quota(3)), Define("b", Quota(2))) if random.random() < 0.1 else ()
        return Exchange(
            session, Batch(releases=releases, seen=tuple(self.some(3)), define=define, claims=tuple(claims))
        )

    def narrow(self) -> Claim:
        """A claim on one unit."""
        return self.claim([Need(self.random.choice("aaaaab"), 1)])

    def batch(self) -> Batch:
        """Anything."""
        random = self.random
        releases = [Release(ticket, random.choice([None, None, *POOLS])) for ticket in self.some(4)]
        unset = [one for one in (*POOLS, None) if random.random() < 0.03]
        return Batch(
            renew=random.choice([None, None, 600.0]),
            releases=tuple(releases),
            cancels=tuple(self.some(1)),
            seen=tuple(self.some(4)),
            ready=tuple((ticket, random.random() < 0.7) for ticket in self.some(2)),
            reprioritise=tuple(
                Reprioritise(ticket, random.randrange(-1, 2), random.randrange(3)) for ticket in self.some(1)
            ),
            define=tuple(self.defines()),
            unset=tuple(unset),
            pause=tuple(pool for pool in POOLS if random.random() < 0.02),
            resume=tuple(pool for pool in POOLS if random.random() < 0.06),
            revoke=tuple(self.some(1)) if random.random() < 0.1 else (),
            claims=tuple(self.any_claim() for _ in range(random.randrange(4))),
        )

    def defines(self) -> Iterator[Define]:
        """Explicit limits."""
        for pool in (*POOLS, "never", None):
            if self.random.random() < 0.02:
                yield Define(pool, self.quota())

    def quota(self) -> Quota:
        """A quota."""
        return Quota(self.random.choice([None, 0, 1, 2, 3, 5, 8]), self.random.choice([None, None, 1, 2]))

    def any_claim(self) -> Claim:
        """A claim, sometimes one that is there already."""
        places = {(self.random.choice(POOLS), self.random.choice(KEYS)) for _ in range(self.random.randrange(1, 4))}
        needs = [Need(pool, self.random.choice([1, 1, 1, 2, 4]), key) for pool, key in sorted(places, key=str)]
        return self.claim(needs)

    def claim(self, needs: list[Need]) -> Claim:
        """A claim on these."""
        random = self.random
        if self.tickets and random.random() < 0.03:
            name = random.choice(self.tickets)
        else:
            self.made += 1
            name = f"{self.prefix}.t{self.made}"
            self.tickets.append(name)
            del self.tickets[:-60]
        return Claim(
            name,
            tuple(needs),
            run_priority=random.choice([0, 0, 0, 0, 1, -1]),
            priority=random.choice([0, 0, 0, 1, 2]),
            age=random.choice([0.0, 0.0, 0.0, HOUR * random.randrange(1, 5)]),
            ready=random.random() < 0.9,
            nested=random.random() < 0.05,
            run="run",
            op="op",
        )

    def some(self, most: int) -> list[str]:
        """Some tickets, now and then one that was never there."""
        names = [ticket for _, ticket in self.held()] if self.random.random() < 0.5 else self.tickets
        chosen = self.random.sample(names, min(len(names), self.random.randrange(most + 1)))
        return [*chosen, "nobody"] if self.random.random() < 0.02 else chosen
