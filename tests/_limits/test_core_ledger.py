"""The ledger: exact sums, whatever the number of keys that share a limit."""

from random import Random

from asyncflow._limits import Admission, Claim


def test_waits_sum_exactly_and_blame_the_limits_that_were_short():
    """Ten units of time: five short of both limits, five of one; the odd unit goes to the first limit."""
    core = Admission()
    db, gpu = core.limit("db", 1), core.limit("gpu", 1)
    party = core.party(core.group("run"))
    a, b, both = (
        Claim(party, core.demand(needs), i) for i, needs in enumerate(([(db, 1)], [(gpu, 1)], [(db, 1), (gpu, 1)]))
    )
    core.enqueue_many([a, b, both])
    core.admit(0)
    core.release(a)
    core.admit(5)
    core.release(b)
    assert core.admit(10) == [both]
    assert both.waits() == {"db": 3, "gpu": 7}


def test_a_thousand_keys_under_a_total():
    """Every sum is exact although a round touches none of the waiters, and the totals agree with a slow ledger."""
    random = Random(7)
    core = Admission()
    total = core.limit("total", 10)
    keys = [core.limit(f"key{i}", 1, named=False) for i in range(100)]
    party = core.party(core.group("run"))
    claims = [
        Claim(party, core.demand([(total, 1), (random.choice(keys), 1)]), random.random(), i) for i in range(1_000)
    ]
    core.enqueue_many(claims)
    running = core.admit(0)
    slow = {claim: {"total": 0.0, "key": 0.0, "order": 0.0} for claim in claims}
    now, ended = 0, 0
    while running:
        step = random.randrange(1, 50)
        for claim in core.waiting_claims():
            short = [limit for limit, amount in claim.demand.needs if limit.free - limit.reserved < amount]
            for limit in short:
                slow[claim]["total" if limit is total else "key"] += step / len(short)
            if not short:
                slow[claim]["order"] += step
        now += step
        core.release(running.pop(random.randrange(len(running))))
        ended += 1
        running += core.admit(now)
    assert ended == 1_000
    for claim in claims:
        waits = claim.waits()
        assert sum(waits.values()) == claim.granted_at - claim.enqueued_at
        assert abs(waits.get("total", 0) - slow[claim]["total"]) < 1


def test_a_claim_granted_in_the_round_that_saw_it_waited_for_nothing():
    """Nothing is charged to it."""
    core = Admission()
    claim = Claim(core.party(core.group("run")), core.demand([(core.limit("db", 1), 1)]), 0)
    core.enqueue(claim)
    core.admit(7)
    assert (claim.waits(), claim.enqueued_at, claim.granted_at) == ({}, 7, 7)
