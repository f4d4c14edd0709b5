"""What must hold after every step, computed from what the core shows and from the steps, not from its decisions.

S1 capacity · S2 all or nothing, a waiter holds nothing · S3 a slot is freed only by its own release, and a refused
one changes nothing · conservation (held is the sum of own) · work conservation apart from reserved units ·
L3 the overtaking bound of ADMISSION.md §3, and the first gatherer never loses what it gathered.
"""

from __future__ import annotations

from typing import Any

from asyncflow._limits.audit import Claim, Limit, Waiter
from asyncflow._limits.audit.fitting import gatherers
from asyncflow._limits.checker import check_log
from tests._limits.pair import DifferenceError, Mode, Pair, Step
from tests._limits.views import compare_views

QUIET = {"enqueue", "many", "release", "withdraw", "round", "ghosts"}  # cannot move a limit or a rank of gatherers


class Watch:
    """Applies steps to a pair and checks the invariants after each."""

    def __init__(self, pair: Pair, mode: Mode | None = None) -> None:
        self.pair = pair
        self.mode = mode or Mode()
        self.gathered = self.borrowed = self.deadlocks = 0
        self._overtaking = Overtaking(pair)
        self._first = FirstGatherer(pair)
        self._rounds = 0
        self._has_streams = False

    def apply(self, step: Step) -> None:
        """Applies `step` and checks.

        Raises:
            DifferenceError: where the sides differ or an invariant is broken.
        """
        pair, core = self.pair, self.pair.core
        if step[0] in {"release", "early"} and core.state(step[1]) not in {"GRANTED", "none"}:
            before = core.seen()
            pair.apply(step)
            if core.seen() != before:
                raise DifferenceError(f"S3: {step} was refused and changed something")
            return
        if step[0] != "round":
            self._has_streams |= step[0] == "unpark"
            self._overtaking.stimulus(step)
            self._first.stimulus(step)
            pair.apply(step)
            self._holdings()
            return
        self._rounds += 1
        held = [limit.held for limit in core.limits]
        twin = core.admission.copy() if self._rounds % 8 == 0 else None
        self._overtaking.begin()
        granted = pair.apply(step)
        self._capacity(held)
        self._holdings()
        self._nobody_left_behind()
        self._overtaking.round(granted)
        self._first.round(granted)
        if twin is not None:
            self._twin(twin, granted)
        if self.mode.explained and core.kit.full:
            compare_views(pair, explained=self._rounds % 8 == 0)
        self._tally(granted)

    def finish(self) -> None:
        """Ends everything that waits or runs: then nothing is held, nothing is reserved, and the log proves it all.

        Raises:
            DifferenceError: where something was left.
        """
        pair, core = self.pair, self.pair.core
        for number, claim in list(core.claims.items()):
            if claim.state.name in {"WAITING", "GRANTED"}:
                self.apply(("withdraw", number))
        self.apply(("round", 1))
        for limit in core.limits:
            if limit.held or limit.reserved:
                raise DifferenceError(f"L6: {limit} is left with {limit.held} held, {limit.reserved} reserved")
        if pair.log is not None:
            violations = check_log(pair.log.records, ended=True)
            if violations:
                lines = [*map(str, violations), *map(str, pair.log.records)]
                raise DifferenceError("the log of this history is not proved:\n" + "\n".join(lines))

    def _tally(self, granted: list[int]) -> None:
        core = self.pair.core
        self.borrowed += sum(
            any(core.kit.borrowed(core.admission, core.claims[number], limit) for limit in core.limits)
            for number in granted
        )
        self.gathered += sum(kind == "Gathering" for kind, _ in core.commands)
        self.deadlocks += sum(kind == "Deadlocked" for kind, _ in core.commands)

    def _twin(self, twin: Any, granted: list[int]) -> None:
        """A copy taken before the round decides what the original decided."""
        owners = [self.pair.core.claims[number].owner for number in granted]
        decided = [claim.owner for claim in twin.admit(self.pair.now)]
        if decided != owners:
            raise DifferenceError(f"a copy granted {decided}, the original {owners}")

    def _capacity(self, before: list[int]) -> None:
        for limit, held in zip(self.pair.core.limits, before, strict=True):
            grew = limit.held > held
            if grew and limit.paused:
                raise DifferenceError(f"S1: {limit.name} is paused and went from {held} to {limit.held}")
            if grew and not limit.external and limit.capacity is not None and limit.held > limit.capacity:
                raise DifferenceError(f"S1: {limit.name} went from {held} to {limit.held} of {limit.capacity}")

    def _holdings(self) -> None:
        core, model = self.pair.core, self.pair.model
        kit, admission = core.kit, core.admission
        total = [0] * len(core.limits)
        for number, claim in core.claims.items():
            granted = claim.state.name == "GRANTED"
            holds = model.claims[number].holds if granted else {}
            for place, limit in enumerate(core.limits):
                own, borrowed = kit.own(admission, claim, limit), kit.borrowed(admission, claim, limit)
                total[place] += own
                need = holds.get(model.limits[place], 0)
                if own + borrowed != need and not (self._has_streams and own + borrowed > need > 0):
                    raise DifferenceError(
                        f"S2: claim {number} asks {need} of {limit.name}, owns {own}, borrows {borrowed}"
                    )
        for limit, own in zip(core.limits, total, strict=True):
            if limit.held != own:
                raise DifferenceError(f"S3: {limit.name} says {limit.held} held, the grants own {own}")
        if self.mode.checked:
            admission.check()

    def _nobody_left_behind(self) -> None:
        """Work conservation: who still waits is short of a unit that is neither held nor reserved."""
        core, model = self.pair.core, self.pair.model
        for waiter in model.admission.hall.waiting:
            if model.admission.hall.books.nested(waiter.main) or any(limit.external for limit, _ in waiter.needs):
                continue
            needs = [(core.limits[model.limits.index(limit)], amount) for limit, amount in waiter.needs]
            if all(limit.free - limit.reserved >= amount for limit, amount in needs):
                raise DifferenceError(f"claim {model.number(waiter.main)} fits and was left behind: {needs}")


class Overtaking:
    """Counts, per waiter and limit, the starts that passed it, and holds them to max_overtakes · (older + 1).

    Of the older ones on a limit each can be passed `max_overtakes` times before it gathers, or start; so a waiter that
    could fit and does not gather yet was passed less often than that for each of them and for itself.
    """

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.passed: dict[tuple[int, Any], int] = {}
        self.older: dict[tuple[int, Any], set[tuple[int, int]]] = {}
        self.version: dict[int, int] = {}
        self.there: list[Waiter] = []  # who waited when the round began: also those who left in it
        self.roots: set[int] = set()  # started together with their run, as one
        self.sound = not any(limit.external for limit in pair.model.limits)

    def stimulus(self, step: Step) -> None:
        """A change of a waiter's demand or priority restarts it, and makes it a new older one for others."""
        model = self.pair.model
        if step[0] == "ghosts":
            self.roots |= {root for _, root in step[1]}
        elif step[0] == "lend":
            self.sound = False  # who is nested is no longer seen from outside
        elif step[0] == "rematch":
            self._restart(step[1])
        elif step[0] == "priority" and model.parties[step[1]].priority != step[2]:
            for number, claim in model.claims.items():
                if claim.party is model.parties[step[1]]:
                    self._restart(number)

    def begin(self) -> None:
        """A round begins."""
        self.there = self.pair.model.admission.hall.waiters()

    def _restart(self, number: int) -> None:
        self.version[number] = self.version.get(number, 0) + 1
        for key in [key for key in self.passed if key[0] == number]:
            del self.passed[key], self.older[key]

    def round(self, granted: list[int]) -> None:
        """Counts what started in the round that just ended against those who waited through it."""
        if not self.sound:
            return
        hall = self.pair.model.admission.hall
        gathering = gatherers(hall)
        runs = [waiter.ghosts for waiter in gathering if waiter.ghosts is not None]
        started = [self.pair.model.claims[number] for number in granted if number not in self.roots]
        asked = [(claim, {limit for limit, _ in claim.demand.needs}) for claim in started]
        for waiter in hall.waiting:
            sibling_gathers = any(waiter.ghosts is run for run in runs)
            if waiter not in gathering and not sibling_gathers and waiter.main.parent is None and not waiter.hopeless:
                for limit, _ in waiter.needs:
                    self._count(waiter, limit, [claim for claim, limits in asked if limit in limits])

    def _count(self, waiter: Waiter, limit: Limit, started: list[Claim]) -> None:
        model = self.pair.model
        key = (model.number(waiter.main), limit)
        older = self.older.setdefault(key, set())
        for claim in [other.main for other in self.there if other.asks(limit)]:
            if claim.seq < waiter.main.seq and claim.party.priority == waiter.priority:
                older.add((model.number(claim), self.version.get(model.number(claim), 0)))
        counted = sum(claim.parent is None and claim.party.priority <= waiter.priority for claim in started)
        self.passed[key] = self.passed.get(key, 0) + counted
        promised = self.pair.setup.max_overtakes * (len(older) + 1)
        if self.passed[key] >= promised:
            raise DifferenceError(
                f"L3: {key[0]} was passed {self.passed[key]} times on {limit.name}, promised: {promised}"
            )


class FirstGatherer:
    """The first gatherer keeps, limit by limit, what it has gathered, until somebody above it starts."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.before: tuple[int, dict[Any, int]] | None = None
        self.quiet = True
        self.sound = not any(limit.external for limit in pair.core.limits)

    def stimulus(self, step: Step) -> None:
        """Only arrivals and ends leave it undisturbed."""
        self.quiet &= step[0] in QUIET
        self.sound &= step[0] != "lend"  # borrowers along an edge ignore reservations and cannot be told from outside

    def round(self, granted: list[int]) -> None:
        """Compares what it has with what it had after the last round."""
        core = self.pair.core
        gathering = core.admission.gatherers()
        now: tuple[int, dict[Any, int]] | None = None
        if gathering:
            first = gathering[0]
            now = (core.number(first), core.admission.reservation(first))
            above = any(
                core.claims[number].party.priority > first.party.priority or core.claims[number].parent is not None
                for number in granted
            )
            if self.quiet and self.sound and not above and self.before is not None and self.before[0] == now[0]:
                for limit, units in self.before[1].items():
                    if now[1].get(limit, 0) < units:
                        raise DifferenceError(f"gatherer {now[0]} had {units} of {limit.name} and lost some: {now[1]}")
        self.before, self.quiet = now, True
