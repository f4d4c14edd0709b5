"""Explanations: all blockers, and only changes that really start the claim."""

from asyncflow._limits import Admission, Claim, ClaimState


def test_all_short_limits_are_named_and_the_change_that_helps():
    """Two limits are short: each is a blocker, and only both together would start the claim."""
    core = Admission(describe=lambda owner: f"op {owner}")
    db, gpu = core.limit("db", 1), core.limit("gpu", 2)
    party = core.party(core.group("run"))
    claims = [
        Claim(party, core.demand([(db, 1)]), 0, "a"),
        Claim(party, core.demand([(gpu, 2)]), 1, "b"),
        Claim(party, core.demand([(db, 1), (gpu, 1)]), 2, "c"),
    ]
    core.enqueue_many(claims)
    assert [claim.owner for claim in core.admit(0)] == ["a", "b"]
    told = core.explain(claims[2])
    assert [(one.limit, one.needed, one.free, one.holders, one.position) for one in told.blockers] == [
        ("db", 1, 0, (("a", 1),), 1),
        ("gpu", 1, 0, (("b", 2),), 1),
    ]
    assert told.unblocked_by == ("1 more of db and 1 more of gpu",)
    assert [limit.name for limit in core.short_limits(claims[2])] == ["db", "gpu"]


def test_growth_that_others_would_take_is_not_told():
    """Two stand before it: one slot more would start another, so three are told; no single end helps."""
    core = Admission()
    db = core.limit("db", 1)
    party = core.party(core.group("run"))
    claims = [Claim(party, core.demand([(db, 1)]), i, i) for i in range(4)]
    core.enqueue_many(claims)
    core.admit(0)
    told = core.explain(claims[3])
    assert told.blockers[0].position == 3
    assert told.unblocked_by == ("3 more of db",)
    assert core.explain(claims[1]).unblocked_by == ("1 more of db", "the end of 0")


def test_a_paused_limit_is_resumed_and_a_reservation_is_told():
    """Pauses and what is kept for a gatherer are named as what they are."""
    core = Admission(max_overtakes=1)
    db = core.limit("db", 2)
    party = core.party(core.group("run"))
    one, wide = core.demand([(db, 1)]), core.demand([(db, 2)])
    first, broad, third, late = (Claim(party, demand, i, i) for i, demand in enumerate((one, wide, one, one)))
    core.enqueue_many([first, broad, third])
    core.admit(0)
    core.release(first)
    core.enqueue(late)
    core.admit(1)
    assert core.gatherers() == [broad]
    blocker = core.explain(late).blockers[0]
    assert (blocker.free, blocker.reserved) == (0, 1)
    core.pause(db)
    core.release(third)
    core.admit(2)
    assert core.explain(broad).unblocked_by == ("resuming db",)


def test_a_claim_that_runs_or_ended_has_no_blockers():
    """Only waiters are explained."""
    core = Admission()
    claim = Claim(core.party(core.group("run")), core.demand([(core.limit("db", 1), 1)]), 0)
    core.enqueue(claim)
    core.admit(0)
    assert (core.explain(claim).state, core.explain(claim).blockers) == (ClaimState.GRANTED, ())
    core.release(claim)
    assert core.explain(claim).unblocked_by == ()


def test_explaining_changes_nothing():
    """The core that explained decides as one that did not."""
    told, untold = Admission(), Admission()
    starts: list[list[object]] = []
    for core in (told, untold):
        db = core.limit("db", 2)
        party = core.party(core.group("run"))
        claims = [Claim(party, core.demand([(db, 1 + i % 2)]), i, i) for i in range(20)]
        core.enqueue_many(claims)
        running = core.admit(0)
        order: list[object] = []
        while running:
            if core is told:
                for claim in core.waiting_claims()[:3]:
                    core.explain(claim)
                core.snapshot()
                core.check()
            order.append(running[0].owner)
            core.release(running.pop(0))
            running += core.admit(len(order))
        starts.append(order)
    assert starts[0] == starts[1]
    assert len(starts[0]) == 20
