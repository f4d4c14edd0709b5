"""Who was admitted before and asks again has the place in order that it had, and is nobody twice."""

from __future__ import annotations

import pytest

from asyncflow._limits import Admission, Claim, ReturnedClaim
from asyncflow._limits.checker import check_log
from asyncflow._limits.log import DecisionLog
from asyncflow.errors import AdmissionError


def test_a_returned_claim_starts_before_equals_that_came_after_it() -> None:
    """Equals 1, 2, 3 on one slot: 1 ends, 2 runs, 1 comes back: it is before 3, though it came last; the log agrees."""
    log = DecisionLog()
    core = Admission(log=log)
    party = core.party(core.group("run"))
    demand = core.demand([(core.limit("db", 1), 1)])
    claims = [Claim(party, demand, (0, -1.0), name) for name in ("first", "second", "third")]
    core.enqueue_many(claims)
    assert core.admit(0) == [claims[0]]
    core.release(claims[0])
    assert core.admit(1) == [claims[1]]
    back = ReturnedClaim(claims[0], demand)
    core.enqueue_again(back)
    assert core.admit(2) == []
    core.release(claims[1])
    assert core.admit(3) == [back]
    core.release(back)
    again = ReturnedClaim(back, demand)
    core.enqueue_again(again)
    assert (again.age, again.owner) == (claims[0].age, "first")
    assert core.admit(4) == [again]
    core.check()
    assert check_log(log.records) == []


def test_those_that_come_back_in_one_turn_start_in_their_old_order() -> None:
    """All fit: the order of starts is that of their ages, not of their returns."""
    core = Admission()
    party = core.party(core.group("run"))
    demand = core.demand([(core.limit("db", 3), 1)])
    claims = [Claim(party, demand, (0,), number) for number in range(3)]
    core.enqueue_many(claims)
    core.admit(0)
    back: list[ReturnedClaim] = []
    for claim in reversed(claims):
        core.release(claim)
        back.append(ReturnedClaim(claim, demand))
        core.enqueue_again(back[-1])
    assert [claim.owner for claim in core.admit(1)] == [0, 1, 2]


def test_what_waits_already_cannot_come_back() -> None:
    """A claim is enqueued once."""
    core = Admission()
    party = core.party(core.group("run"))
    claim = Claim(party, core.demand([]), (), None)
    core.enqueue(claim)
    core.admit(0)
    core.release(claim)
    back = ReturnedClaim(claim, core.demand([]))
    core.enqueue_again(back)
    with pytest.raises(AdmissionError, match="enqueued before"):
        core.enqueue_again(back)
