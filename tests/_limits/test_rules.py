"""The rules of admission as short stories, told to the slow model and to the fast core alike.

The model is what the core is held to, so it is itself held to these: each says one sentence of the rules.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests._limits.core_kit import CORE
from tests._limits.pair import MODEL, Kit, NeedIds, Setup, Side, Step

LimitSpec = tuple[int | None, bool, bool, bool]


@pytest.fixture(params=[MODEL, CORE], ids=["model", "core"])
def kit(request: pytest.FixtureRequest) -> Kit:
    """Either side."""
    return request.param


def named(capacity: int | None, *, reentrant: bool = True, external: bool = False) -> LimitSpec:
    """A configured limit."""
    return (capacity, True, reentrant, external)


class Story:
    """One side, with short names for steps; claims are numbered by whoever tells the story."""

    def __init__(
        self, kit: Kit, *limits: LimitSpec, parties: int | tuple[tuple[int, int], ...] = 1, **setup: Any
    ) -> None:
        chosen = tuple((number, 0) for number in range(parties)) if isinstance(parties, int) else parties
        weights = setup.pop("weights", (1.0,) * (max(group for group, _ in chosen) + 1))
        self.side = Side(kit, Setup(limits=limits, weights=weights, parties=chosen, **setup))
        self.now = 0

    def enqueue(self, number: int, *needs: int, party: int = 0, order: int | None = None, parent: int = -1) -> None:
        """A claim; `needs` are the amounts per limit."""
        self.do("enqueue", number, party, vector(needs), number if order is None else order, parent)

    def do(self, *step: Any) -> None:
        """Any other step."""
        self.side.apply(step)

    def release(self, *numbers: int) -> None:
        """Ends grants."""
        for number in numbers:
            self.do("release", number)

    def round(self, later: int = 1) -> list[int]:
        """A round; returns who was granted, in order."""
        self.now += later
        granted: list[int] = self.side.apply(("round", self.now))
        return granted

    def held(self) -> list[int]:
        """What is held of each limit."""
        return [limit.held for limit in self.side.limits]

    def own(self, number: int) -> list[int]:
        """What a claim owns of each limit."""
        return [self.side.kit.own(self.side.admission, self.side.claims[number], limit) for limit in self.side.limits]

    def state(self, number: int) -> str:
        """Where a claim stands."""
        return self.side.state(number)

    @property
    def commands(self) -> list[tuple[str, int]]:
        """What the last round commanded."""
        return self.side.commands


def vector(needs: tuple[int, ...]) -> NeedIds:
    """Amounts per limit as needs."""
    return tuple((limit, amount) for limit, amount in enumerate(needs) if amount)


# ------------------------------------------------------------------------------------------------------------- taking
def test_a_demand_is_taken_whole_or_not_at_all(kit: Kit) -> None:
    """Who asks for a full pool and a free tag leaves the tag to the next."""
    story = Story(kit, named(1), named(1))
    story.enqueue(1, 1, 0)
    assert story.round() == [1]
    story.enqueue(2, 1, 1)
    story.enqueue(3, 0, 1)
    assert story.round() == [3]
    assert story.held() == [1, 1]


def test_two_pools_named_in_opposite_order_never_deadlock(kit: Kit) -> None:
    """The whole vector is one step, so there is no order of taking."""
    story = Story(kit, named(1), named(1))
    story.enqueue(1, 1, 1)
    story.enqueue(2, 1, 1)
    assert story.round() == [1]
    story.release(1)
    assert story.round() == [2]


def test_only_the_last_capacity_before_a_round_counts(kit: Kit) -> None:
    """Shrink-then-grow grants nothing too much, and a shrunk limit drains before it grants."""
    story = Story(kit, named(2))
    for number in range(1, 5):
        story.enqueue(number, 1)
    assert story.round() == [1, 2]
    story.do("resize", 0, 1)
    story.do("resize", 0, 2)
    assert story.round() == []
    story.do("resize", 0, 1)
    story.release(1)
    assert story.round() == []
    story.release(2)
    assert story.round() == [3]


def test_a_unit_of_one_who_is_withdrawn_in_its_turn_goes_to_the_next(kit: Kit) -> None:
    """Granted and not started, then withdrawn: the next one has it in the next round."""
    story = Story(kit, named(1))
    story.enqueue(1, 1)
    story.enqueue(2, 1)
    assert story.round() == [1]
    story.do("withdraw", 1)
    assert story.held() == [0]
    assert story.round() == [2]


def test_a_limit_gained_while_running_is_owned_above_the_capacity(kit: Kit) -> None:
    """A rule added to what runs makes debt, and grants nothing until it is gone."""
    story = Story(kit, named(2), named(1))
    story.enqueue(1, 1, 0)
    story.enqueue(2, 1, 0)
    story.round()
    story.do("rematch", 1, vector((1, 1)))
    story.do("rematch", 2, vector((1, 1)))
    assert story.held() == [2, 2]
    assert story.side.limits[1].debt == 1
    story.enqueue(3, 0, 1)
    story.release(1)
    assert story.round() == []
    story.release(2)
    assert story.round() == [3]


def test_given_back_early_is_handed_over_early(kit: Kit) -> None:
    """A grant may give back one of its limits; giving it back again is refused."""
    story = Story(kit, named(1), named(1))
    story.enqueue(1, 1, 1)
    story.enqueue(2, 1, 0)
    assert story.round() == [1]
    story.do("early", 1, (0,))
    assert story.round() == [2]
    with pytest.raises(Exception, match=r"."):
        story.do("early", 1, (0,))
    assert story.held() == [1, 1]


# -------------------------------------------------------------------------------------------------------------- order
def test_weights_divide_a_pool_of_one(kit: Kit) -> None:
    """Three groups with weights 1, 2, 4 that always wait get 1/7, 2/7, 4/7 of a pool of one."""
    story = Story(kit, named(1), parties=3, weights=(1.0, 2.0, 4.0))
    started = [0, 0, 0]
    for number in range(12):
        story.enqueue(number, 1, party=number % 3)
    running = story.round()[0]
    for place in range(4, 704):
        party = running % 3
        started[party] += 1
        story.release(running)
        story.enqueue(3 * place + party, 1, party=party)
        (running,) = story.round(10)
    total = sum(started)
    assert [round(count / total, 2) for count in started] == [0.14, 0.29, 0.57]


def test_newcomers_do_not_starve_the_old(kit: Kit) -> None:
    """Groups of equal share and service take turns by when they began to wait."""
    story = Story(kit, named(1), parties=4)
    story.enqueue(1, 1, party=0)
    story.round()
    story.enqueue(2, 1, party=1)
    story.round(0)
    story.enqueue(3, 1, party=2)
    story.round(0)
    story.enqueue(4, 1, party=3)
    story.release(1)
    assert story.round(0) == [2]


def test_the_share_is_over_the_limits_asked_for(kit: Kit) -> None:
    """Whoever holds the gpu is not behind for the db because of it."""
    story = Story(kit, named(1), named(2), named(1), parties=2)
    story.enqueue(1, 1, 0, 0)  # party 0 holds the gpu
    story.enqueue(2, 0, 1, 1, party=1)  # party 1 holds half of the db
    assert story.round() == [1, 2]
    story.enqueue(3, 0, 1, party=1)
    story.enqueue(4, 0, 1, party=0)
    assert story.round() == [4]


def test_without_groups_it_is_priority_order_age(kit: Kit) -> None:
    """Behind a backend the order is flat."""
    story = Story(kit, named(1), parties=((0, 0), (1, 0), (0, 1)), fair=False)
    story.enqueue(1, 1)
    story.round()
    story.enqueue(2, 1, party=0, order=5)
    story.enqueue(3, 1, party=1, order=3)
    story.enqueue(4, 1, party=2, order=9)
    order = []
    for _ in range(3):
        story.release(1 if not order else order[-1])
        order += story.round()
    assert order == [4, 3, 2]


# ---------------------------------------------------------------------------------------------------------- gathering
def wide_among_small(kit: Kit, *, overtakes: int, order: int, rounds: int = 200) -> int:
    """How many small ones start before one that needs the whole pool, while two of them always wait."""
    story = Story(kit, named(3), max_overtakes=overtakes)
    number = 0
    for number in range(1, 6):
        story.enqueue(number, 1, order=10)
    running = story.round()
    story.enqueue(1_000, 3, order=order)
    started = 0
    while started < rounds:
        number += 1
        story.enqueue(number, 1, order=10)
        if running:
            story.release(running.pop(0))
        fresh = story.round()
        if 1_000 in fresh:
            return started
        running += fresh
        started += len(fresh)
    return started


@pytest.mark.parametrize("order", [0, 99], ids=["first in order", "last in order"])
def test_a_wide_one_gathers_amid_small_ones(kit: Kit, order: int) -> None:
    """It starts after at most max_overtakes · (older + 1) starts and what then still holds; here 2 are older."""
    assert wide_among_small(kit, overtakes=10, order=order) <= 10 * 3


def test_without_gathering_it_would_starve(kit: Kit) -> None:
    """The story above proves something: with the bound far away the wide one does not start."""
    assert wide_among_small(kit, overtakes=10_000, order=99) == 200


def test_a_higher_priority_ignores_what_is_reserved_below_it(kit: Kit) -> None:
    """A gatherer keeps units from its own priority and those below, not from those above."""
    story = Story(kit, named(2), parties=((0, 0), (0, 1)), max_overtakes=1)
    story.enqueue(1, 1)
    story.enqueue(2, 1)
    story.round()
    story.enqueue(3, 2)
    story.enqueue(4, 1)
    story.release(1)
    assert story.round() == [4]
    assert ("Gathering", 3) in story.commands
    story.release(2)
    story.enqueue(5, 1)
    assert story.round() == []  # kept for 3
    story.enqueue(6, 1, party=1)
    assert story.round() == [6]


def test_a_gatherer_that_cannot_fit_reserves_nothing_and_keeps_its_place(kit: Kit) -> None:
    """While its limit is too small it lets others through; grown again, it is still a gatherer."""
    story = Story(kit, named(2), max_overtakes=1)
    story.enqueue(1, 1)
    story.enqueue(2, 1)
    story.round()
    story.enqueue(3, 2)
    story.enqueue(4, 1)
    story.release(1)
    assert story.round() == [4]
    story.do("resize", 0, 1)
    story.release(2, 4)
    story.enqueue(5, 1)
    assert story.round() == [5]
    story.do("resize", 0, 2)
    story.enqueue(6, 1)
    assert story.round() == []
    story.release(5)
    assert story.round() == [3]


def test_a_withdrawn_gatherer_lets_go(kit: Kit) -> None:
    """Its reservation is gone in the next round."""
    story = Story(kit, named(2), max_overtakes=1)
    for number in (1, 2):
        story.enqueue(number, 1)
    story.round()
    story.enqueue(3, 2)
    story.enqueue(4, 1)
    story.release(1)
    story.round()
    story.enqueue(5, 1)
    story.release(2)
    assert story.round() == []
    assert story.side.limits[0].reserved == 1
    story.do("withdraw", 3)
    assert story.round() == [5]
    assert story.side.limits[0].reserved == 0


# ---------------------------------------------------------------------------------------------------------- borrowing
def test_a_child_borrows_what_is_not_free(kit: Kit) -> None:
    """It owns what is free and borrows the rest of its parent, and `held` counts each unit once."""
    story = Story(kit, named(3))
    story.enqueue(1, 2)
    story.round()
    story.enqueue(2, 3, parent=1)
    assert story.round() == [2]
    assert story.own(2) == [1]
    assert story.held() == [3]


def test_each_unit_is_lent_once(kit: Kit) -> None:
    """Two children share what their parent has, one after the other; a pause does not stop them."""
    story = Story(kit, named(1))
    story.enqueue(1, 1)
    story.round()
    story.do("pause", 0)
    story.enqueue(2, 1, parent=1)
    story.enqueue(3, 1, parent=1)
    assert story.round() == [2]
    story.release(2)
    assert story.round() == [3]


def test_a_borrowed_unit_is_lent_on(kit: Kit) -> None:
    """A grandchild runs on the one unit of the family."""
    story = Story(kit, named(1))
    story.enqueue(1, 1)
    story.round()
    story.enqueue(2, 1, parent=1)
    story.round()
    story.enqueue(3, 1, parent=2)
    assert story.round() == [3]
    assert story.held() == [1]
    story.release(2)  # what it lent on is now lent by the first
    assert (story.held(), story.own(3)) == ([1], [0])
    story.release(1)
    assert (story.held(), story.own(3)) == ([1], [1])


def test_what_a_lender_gives_back_while_it_lends_becomes_the_borrowers_own(kit: Kit) -> None:
    """Nobody else can have the unit before the borrower ends."""
    story = Story(kit, named(1))
    story.enqueue(1, 1)
    story.round()
    story.enqueue(2, 1, parent=1)
    story.enqueue(3, 1)
    story.round()
    story.release(1)
    assert story.round() == []
    assert story.own(2) == [1]
    story.release(2)
    assert story.round() == [3]


def test_children_ignore_reservations(kit: Kit) -> None:
    """A child whose ancestor holds something takes what a gatherer has reserved."""
    story = Story(kit, named(2), max_overtakes=1)
    story.enqueue(1, 1)
    story.enqueue(2, 1)
    story.round()
    story.enqueue(3, 2)
    story.enqueue(4, 1)
    story.release(1)
    story.round()
    story.release(4)
    assert story.round() == []
    story.enqueue(5, 1, parent=2)
    assert story.round() == [5]
    assert story.own(5) == [1]


# ----------------------------------------------------------------------------------------------------------- deadlock
def test_the_youngest_of_a_cycle_is_the_victim(kit: Kit) -> None:
    """Two hold what the children of the other want: the younger child is told, the older runs."""
    story = Story(kit, named(1), named(1))
    story.enqueue(1, 1, 0)
    story.enqueue(2, 0, 1)
    story.round()
    story.enqueue(3, 0, 1, parent=1)
    story.enqueue(4, 1, 0, parent=2)
    assert story.round() == []
    assert story.commands == [("Deadlocked", 4)]
    assert story.state(4) == "DEADLOCKED"
    story.release(2)
    assert story.round() == [3]


def test_a_cycle_with_a_way_out_is_no_deadlock(kit: Kit) -> None:
    """A second unit is held by one who waits for nobody: it will end."""
    story = Story(kit, named(1), named(2))
    story.enqueue(1, 1, 0)
    story.enqueue(2, 0, 1)
    story.enqueue(5, 0, 1)
    story.round()
    story.enqueue(3, 0, 1, parent=1)
    story.enqueue(4, 1, 0, parent=2)
    story.round()
    assert story.commands == []


@pytest.mark.parametrize("step", [("pause", 1), ("resize", 1, 0)], ids=["paused", "too small"])
def test_who_waits_for_a_limit_to_open_is_no_victim(kit: Kit, step: Step) -> None:
    """A pause and a capacity below the need end one day, and then the cycle is no cycle."""
    story = Story(kit, named(1), named(1))
    story.enqueue(1, 1, 0)
    story.enqueue(2, 0, 1)
    story.round()
    story.do(*step)
    story.enqueue(3, 0, 1, parent=1)
    story.enqueue(4, 1, 0, parent=2)
    story.round()
    assert story.commands == []
    story.do("resume", 1)
    story.do("resize", 1, 1)
    story.round()
    assert story.commands == [("Deadlocked", 4)]


def test_a_pool_that_never_lends_refuses_at_once_what_its_ancestors_keep(kit: Kit) -> None:
    """Limit less what the ancestors hold is below the need: nothing could ever start it."""
    story = Story(kit, named(2, reentrant=False))
    story.enqueue(1, 1)
    story.round()
    story.enqueue(2, 2, parent=1)
    story.enqueue(3, 1, parent=1)
    assert story.round() == [3]
    assert story.commands == [("Deadlocked", 2)]


# ------------------------------------------------------------------------------------------------------------- ghosts
def test_a_run_starts_with_the_first_root_that_fits(kit: Kit) -> None:
    """Place and root slots are taken in one step, and the other ghosts vanish."""
    story = Story(kit, named(1), named(1), named(1))
    story.enqueue(1, 0, 1, 0)
    story.round()
    story.do("ghosts", ((2, 3), (4, 5)), 0, vector((1,)), (vector((0, 1)), vector((0, 0, 1))), -1)
    assert story.round() == [4, 5]
    assert [story.state(number) for number in (2, 3)] == ["WITHDRAWN", "WITHDRAWN"]
    assert story.held() == [1, 1, 1]


def test_a_queued_run_holds_nothing(kit: Kit) -> None:
    """A free place is not taken by a run whose roots cannot start."""
    story = Story(kit, named(1), named(1))
    story.enqueue(1, 0, 1)
    story.round()
    story.do("ghosts", ((2, 3),), 0, vector((1,)), (vector((0, 1)),), -1)
    assert story.round() == []
    assert story.held() == [0, 1]
    story.release(1)
    assert story.round() == [2, 3]


# ------------------------------------------------------------------------------------------------------------ streams
def test_a_parked_side_lends_what_it_holds(kit: Kit) -> None:
    """Source and reader share one unit: whoever is parked lends it, and goes on when it is back."""
    story = Story(kit, named(1))
    story.enqueue(1, 1)
    story.round()
    story.enqueue(2, 1)
    assert story.round() == []
    story.do("lend", 1, "claim", 2)
    assert story.round() == [2]
    story.do("unpark", 1)
    story.round()
    assert story.commands == []
    story.do("lend", 2, "claim", 1)
    story.round()
    assert story.commands == [("Unparked", 1)]
    story.do("lend", 1, "claim", 2)
    story.do("unpark", 2)
    story.round()
    assert story.commands == [("Unparked", 2)]
    assert story.held() == [1]


def test_a_unit_that_was_lent_back_is_not_lost(kit: Kit) -> None:
    """One lends to another, who parks and lends it back: when the first ends, the other has it for good."""
    story = Story(kit, named(1))
    story.enqueue(1, 1)
    story.round()
    story.enqueue(2, 1)
    story.do("lend", 1, "claim", 2)
    assert story.round() == [2]
    story.do("lend", 2, "claim", 1)
    story.do("unpark", 1)
    story.round()
    assert story.commands == [("Unparked", 1)]
    story.release(1)
    story.enqueue(3, 1)
    assert story.round() == []
    assert (story.own(2), story.held()) == ([1], [1])
    story.do("unpark", 2)
    story.round()
    assert story.commands == [("Unparked", 2)]


def test_an_unparker_can_be_the_victim(kit: Kit) -> None:
    """It waits for what it lent, the borrower for its child, and the child for what the un-parker keeps."""
    story = Story(kit, named(1), named(1, reentrant=False), named(1), parties=((0, 0), (1, 1)))
    story.enqueue(1, 1, 1, 1)
    story.round()
    story.enqueue(9, 0, 0, 1, party=1)
    story.enqueue(2, 1)
    story.enqueue(3, 0, 0, 1, parent=2)
    story.enqueue(4, 1, 1, party=1)
    story.release(1)
    assert story.round() == [4, 9]
    story.do("lend", 4, "claim", 2)
    assert story.round() == [2]
    story.do("unpark", 4)
    story.do("rematch", 3, vector((0, 1)))  # older than the un-parker, and blocked by it only now
    story.round()
    assert story.commands == [("Deadlocked", 4)]
    story.release(4)
    assert story.round() == [3]
    assert (story.own(2), story.held()) == ([1, 0, 0], [1, 1, 1])


# ------------------------------------------------------------------------------------------------------ remote pools
def test_only_the_remote_grant_makes_it_a_start(kit: Kit) -> None:
    """The local part is set aside and shown as reserved, nothing is held, and nobody else takes it."""
    story = Story(kit, named(1), named(1, external=True))
    story.enqueue(1, 1, 1)
    assert story.round() == []
    assert story.commands == [("AskRemote", 1)]
    assert (story.held(), story.side.limits[0].reserved) == ([0, 0], 1)
    story.enqueue(2, 1)
    assert story.round(0) == []
    story.do("remote_grant", 1)
    assert story.round() == [1]
    assert story.held() == [1, 1]


def test_an_earmark_ends_when_somebody_local_wants_it(kit: Kit) -> None:
    """Not before its time; then the ticket is dropped, and a grant that crosses it goes back."""
    story = Story(kit, named(1), named(1, external=True))
    story.enqueue(1, 1, 1)
    story.round()
    story.enqueue(2, 1)
    assert story.round(1) == []
    assert story.round(5) == [2]
    assert story.commands == [("DropTicket", 1)]
    story.do("remote_grant", 1)
    story.round()
    assert story.commands == [("ReturnRemote", 1)]


def test_a_remote_grant_starts_an_equal_waiter(kit: Kit) -> None:
    """A ticket whose waiter is gone starts another earmarked one with the same needs."""
    story = Story(kit, named(2), named(2, external=True))
    story.enqueue(1, 1, 1)
    story.enqueue(2, 1, 1)
    story.round()
    story.do("withdraw", 1)
    story.do("remote_grant", 1)
    assert story.round() == [2]


def test_no_more_tickets_wait_than_limit_and_two(kit: Kit) -> None:
    """A process asks for limit + 2 units at most, and always for its first waiter."""
    story = Story(kit, named(None), named(1, external=True))
    for number in range(1, 7):
        story.enqueue(number, 1, 1)
    story.round()
    assert story.commands == [("AskRemote", 1), ("AskRemote", 2), ("AskRemote", 3)]


# -------------------------------------------------------------------------------------------------------------- waits
def test_waits_are_shared_equally_and_sum_exactly(kit: Kit) -> None:
    """Seven nanoseconds short of both limits are four and three; then five short of one."""
    story = Story(kit, named(1), named(1))
    story.enqueue(1, 1, 0)
    story.enqueue(2, 0, 1)
    story.round()
    story.enqueue(3, 1, 1)
    story.round(1)
    story.release(1)
    assert story.round(7) == []
    story.release(2)
    assert story.round(5) == [3]
    claim = story.side.claims[3]
    assert claim.waits() == {"l0": 4, "l1": 8}
    assert claim.granted_at - claim.enqueued_at == 12


def test_who_starts_in_its_first_round_did_not_wait(kit: Kit) -> None:
    """There is nothing to tell."""
    story = Story(kit, named(1))
    story.enqueue(1, 1)
    assert story.round(9) == [1]
    assert story.side.claims[1].waits() == {}
