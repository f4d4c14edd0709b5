"""Random histories: what a step may be, chosen by a seeded generator that looks at the model's state.

A history has a *flavour*: which features it may use. Histories of one feature find its faults sooner than histories
of all, and those of all find how they meet.
"""

from __future__ import annotations

from random import Random

from tests._limits.pair import NeedIds, Pair, Setup, Step

FLAVOURS: dict[str, frozenset[str]] = {
    "plain": frozenset(),
    "moving": frozenset({"resize", "pause"}),
    "gather": frozenset({"priority", "wide"}),
    "gather_moving": frozenset({"priority", "wide", "resize", "pause", "rematch"}),
    "nested": frozenset({"children"}),
    "nested_moving": frozenset({"children", "resize", "pause", "early", "rematch", "wide"}),
    "streams": frozenset({"streams"}),
    "streams_nested": frozenset({"children", "streams", "early", "rematch"}),
    "ghosts": frozenset({"ghosts", "wide", "priority"}),
    "ghosts_nested": frozenset({"ghosts", "children", "resize"}),
    "remote": frozenset({"remote", "pause", "resize", "priority"}),
    "remote_nested": frozenset({"remote", "children", "ghosts", "wide", "rematch"}),
    "backend": frozenset({"flat", "priority", "wide", "resize", "rematch"}),
    "keys": frozenset({"keys"}),
    "keys_moving": frozenset({"keys", "children", "early", "resize", "pause", "rematch", "wide"}),
    "all": frozenset(
        {"resize", "pause", "priority", "wide", "rematch", "children", "early", "streams", "ghosts", "remote"}
    ),
}


CROWDED = 40
"""Every 40th history is four times as long, and up to 40 wait in it; else it is 10."""


class Historian:
    """Makes the steps of one history."""

    def __init__(self, seed: int, *, length: int = 24) -> None:
        self.random = Random(seed)
        names = list(FLAVOURS)
        self.flavour = names[seed % len(names)]
        self.features = FLAVOURS[self.flavour]
        self.families = bool(self.features & {"children", "streams"})
        crowded = seed % CROWDED == CROWDED - 1
        self.length = 4 * length if crowded else 2 * length if "keys" in self.features else length
        self.most_waiting = 40 if crowded else 10
        self.claims = 0
        self.returned: set[int] = set()
        self.setup = self._setup()

    def _setup(self) -> Setup:
        random = self.random
        limits: list[tuple[int | None, bool, bool, bool]] = []
        if "keys" in self.features:  # a total, and fine limits under it
            limits.append((random.choice((1, 2, 2, 3)), True, True, False))
            limits += [(random.choice((1, 1, 1, 2)), False, True, False) for _ in range(random.choice((1, 2, 2, 3)))]
        most = int(random.random() < 0.3) if limits else 2 if self.families and random.random() < 0.6 else 4
        for _ in range(random.randint(0 if limits else 1, most)):
            capacity = random.choice((1, 1, 1, 2, 2, 2, 3, 3, 4, 5, None, random.choice((0, 2))))
            external = "remote" in self.features and random.random() < 0.35
            reentrant = "children" not in self.features or random.random() < 0.85
            limits.append((capacity, random.random() < 0.7, reentrant, external))
        groups = 1 if "keys" in self.features and random.random() < 0.6 else random.randint(1, 3)
        weights = tuple(random.choice((1.0, 1.0, 2.0, 0.5, 3.0)) for _ in range(groups))
        levels = (0, 0, 1, 2) if "priority" in self.features else (0,)
        parties = tuple(
            (random.randrange(len(weights)), random.choice(levels)) for _ in range(random.randint(len(weights), 4))
        )
        return Setup(
            max_overtakes=random.choice((1, 2, 2, 3, 5)),
            fair="flat" not in self.features,
            limits=tuple(limits),
            weights=weights,
            parties=parties,
        )

    # --------------------------------------------------------------------------------------------------- steps
    def steps(self, pair: Pair) -> list[Step]:
        """The next stimuli and, mostly, a round."""
        random = self.random
        out = [self._stimulus(pair) for _ in range(random.choice((1, 1, 1, 2, 3)))]
        if random.random() < 0.9:
            out.append(("round", random.choice((0, 1, 1, 2, 7))))
        return out

    def _stimulus(self, pair: Pair) -> Step:
        random = self.random
        granted = in_state(pair, "GRANTED")
        waiting = in_state(pair, "WAITING")
        draw = random.random()
        ends = 0.57 if self.families else 0.75  # who borrows needs lenders that stay
        if draw < 0.37 and len(waiting) < self.most_waiting:
            return self._arrival(granted)
        if draw < ends and granted:
            return ("release", random.choice(granted))
        if draw < ends + 0.04 and waiting:
            gathering = [pair.model.number(claim) for claim in pair.model.admission.gatherers()]
            return ("withdraw", random.choice(gathering or waiting))
        if draw < ends + 0.05 and pair.model.claims:
            return (random.choice(("release", "withdraw")), random.choice(list(pair.model.claims)))
        return self._feature(pair, granted, waiting) or self._arrival(granted)

    def _arrival(self, granted: list[int]) -> Step:
        random = self.random
        if "ghosts" in self.features and random.random() < 0.25:
            return self._ghosts(granted)
        if random.random() < 0.25:
            return ("many", tuple(self._claim(granted) for _ in range(random.randint(2, 4))))
        return ("enqueue", *self._claim(granted))

    def _claim(self, granted: list[int]) -> tuple[int, int, NeedIds, int, int]:
        random = self.random
        parent = -1
        if "children" in self.features and granted and random.random() < 0.5:
            parent = random.choice(granted)
        return (self._next(), self._party(), self._needs(), random.randrange(4), parent)

    def _ghosts(self, granted: list[int]) -> Step:
        random = self.random
        count = random.choice((1, 2, 2, 3))
        numbers = tuple((self._next(), self._next() if random.random() < 0.8 else -1) for _ in range(count))
        parent = random.choice(granted) if "children" in self.features and granted and random.random() < 0.3 else -1
        return ("ghosts", numbers, self._party(), self._needs(), tuple(self._needs() for _ in numbers), parent)

    def _next(self) -> int:
        self.claims += 1
        return self.claims

    def _party(self) -> int:
        return self.random.randrange(len(self.setup.parties))

    def _needs(self) -> NeedIds:
        random = self.random
        count = len(self.setup.limits)
        if "keys" in self.features and random.random() < 0.85:
            keys = sorted(random.sample(range(1, count), min(count - 1, random.choice((0, 1, 1, 2)))))
            total = ((0, 1),) if not keys or random.random() < 0.75 else ()
            return (*total, *((key, 1) for key in keys))
        chosen = sorted(random.sample(range(count), min(count, random.choice((1, 1, 2, 2, 3)))))
        if random.random() < 0.03:
            return ()
        most = (1, 1, 2, 3, 4) if "wide" in self.features else (1, 1, 1, 2)
        generous = random.random() < 0.05  # may ask for more than there is
        return tuple((limit, self._amount(random.choice(most), limit, generous)) for limit in chosen)

    def _amount(self, amount: int, limit: int, generous: bool) -> int:
        capacity = self.setup.limits[limit][0]
        return amount if generous or not capacity else min(amount, capacity)

    def _feature(self, pair: Pair, granted: list[int], waiting: list[int]) -> Step | None:
        """A stimulus of one of the history's features; None if it has none that fits now."""
        random = self.random
        limit = random.randrange(len(self.setup.limits))
        known = list(pair.model.claims)
        options: list[Step] = []
        if "resize" in self.features:
            options.append(("resize", limit, random.choice((0, 1, 2, 3, 4, None))))
        if "pause" in self.features:
            options += [("pause", limit), ("resume", limit), ("resume", limit)]
        if "priority" in self.features:
            options.append(("priority", self._party(), random.randrange(3)))
            options.append(("weight", random.randrange(len(self.setup.weights)), random.choice((0.5, 1.0, 2.0))))
        if "rematch" in self.features and waiting + granted:
            options.append(("rematch", random.choice(waiting + granted), self._needs()))
        if waiting:
            options.append(("order", random.choice(waiting), random.randrange(4)))
        ended = [number for number in in_state(pair, "ENDED") if pair.model.claims[number].parent is None]
        if ended and ended[-1] not in self.returned and random.random() < 0.5:  # nobody comes back twice
            self.returned.add(ended[-1])
            options.append(("again", self._next(), ended[-1], self._needs()))
        if "early" in self.features and granted:
            options.append(("early", random.choice(granted), (limit,)))
        if "remote" in self.features and waiting:
            options += self._remote(pair, known)
        if "streams" in self.features and granted:
            options += self._streams(pair, granted, waiting, known)
        return random.choice(options) if options else None

    def _remote(self, pair: Pair, known: list[int]) -> list[Step]:
        random = self.random
        asked = [pair.model.number(waiter.main) for waiter in pair.model.admission.hall.earmarks()]
        options: list[Step] = [("remote_grant", random.choice(asked or known))] * 3
        options.append(("remote_refuse", random.choice(asked or known)))
        return options

    def _streams(self, pair: Pair, granted: list[int], waiting: list[int], known: list[int]) -> list[Step]:
        random = self.random
        lender = random.choice(granted)
        kind = random.choice(("claim", "claim", "party"))
        likely = waiting if waiting and random.random() < 0.6 else known
        borrower = self._party() if kind == "party" else random.choice(likely)
        return [
            ("lend", lender, kind, borrower),
            ("lend", lender, kind, borrower),
            ("unlend", lender, kind, borrower),
            ("unpark", random.choice(self._parked(pair) or granted)),
            ("unpark", random.choice(self._parked(pair) or granted)),
        ]

    @staticmethod
    def _parked(pair: Pair) -> list[int]:
        return [pair.model.number(edge.lender) for edge in pair.model.admission.hall.books.edges]


def in_state(pair: Pair, state: str) -> list[int]:
    """The numbers of the claims in `state`, in order."""
    return [number for number, claim in pair.model.claims.items() if claim.state.name == state]
