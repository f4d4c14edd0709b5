"""The clauses of the protocol's text, one by one, as a real server does them."""

from __future__ import annotations

from dataclasses import replace

from asyncflow.pools import (
    Batch,
    Claim,
    Define,
    Grant,
    Need,
    PoolBackend,
    PoolSpec,
    Quota,
    RedisPools,
    Refusal,
    Release,
    Reply,
    Reprioritise,
    SessionSpec,
    Usage,
)
from tests.pools.differential import compare_many
from tests.pools.redis.server import Server


def claim(ticket: str, *needs: Need, **more: object) -> Claim:
    """A claim; of one unit of `a` where nothing else is said."""
    return Claim(ticket, needs or (Need("a"),), **more)  # type: ignore[arg-type]  # — options of a test


def granted(grants: tuple[Grant, ...]) -> list[str]:
    """The tickets of grants."""
    return [grant.ticket for grant in grants]


async def opened(pools: PoolBackend, namespace: str, *quotas: tuple[str, Quota], session: str = "s") -> str:
    """Opens a session and returns its id."""
    name = f"{session} of {namespace}"
    await pools.open(SessionSpec(name, namespace, ttl=600.0), [PoolSpec(*quota) for quota in quotas])
    return name


async def test_random_histories_are_done_as_the_model_does_them(pools: RedisPools, seed: int) -> None:
    """Given random histories of all that can be asked, the server and the slow model never differ."""
    batches, _ = await compare_many(pools, first=seed % 10**6, batches=1500)
    assert batches >= 1500


async def test_limits_of_none_one_and_many(pools: RedisPools, namespace: str) -> None:
    """Unlimited gives all, 0 gives nothing and refuses nothing, 2 gives 2."""
    me = await opened(pools, namespace, ("none", Quota(None)), ("zero", Quota(0)), ("two", Quota(2)))
    claims = [claim(f"{pool}{n}", Need(pool)) for pool in ("none", "zero", "two") for n in range(3)]
    reply = await pools.exchange(me, Batch(claims=tuple(claims)))
    assert granted(reply.grants) == ["none0", "none1", "none2", "two0", "two1"]
    assert reply.refused == ()
    assert reply.usage == (Usage("none", 3, None), Usage("two", 2, 2), Usage("zero", 0, 0))


async def test_all_needs_or_none(pools: RedisPools, namespace: str) -> None:
    """A ticket on two pools, of which each is full in turn, holds nothing of the other."""
    me = await opened(pools, namespace, ("a", Quota(1)), ("b", Quota(1)))
    for full, other in (("a", "b"), ("b", "a")):
        await pools.exchange(me, Batch(claims=(claim(full, Need(full)),)))
        reply = await pools.exchange(me, Batch(seen=(full,), claims=(claim("both", Need("a"), Need("b")),)))
        assert (reply.grants, {one.pool: one.used for one in reply.usage}) == ((), {full: 1, other: 0})
        reply = await pools.exchange(me, Batch(releases=(Release(full),)))
        assert granted(reply.grants) == ["both"]
        await pools.exchange(me, Batch(releases=(Release("both"),)))


async def test_order_is_run_priority_then_priority_then_age_then_claim(pools: RedisPools, namespace: str) -> None:
    """Given five that wait, each release lets the next on in that order, across sessions."""
    one = await opened(pools, namespace, ("a", Quota(1)), session="one")
    two = await opened(pools, namespace, session="two")
    await pools.exchange(one, Batch(claims=(claim("now"),)))
    await pools.exchange(one, Batch(seen=("now",), claims=(claim("late"), claim("old", age=7200.0))))
    await pools.exchange(two, Batch(claims=(claim("later"), claim("high", priority=1), claim("run", run_priority=1))))
    order: list[str] = []
    held, owner = "now", one
    while True:
        await pools.exchange(owner, Batch(releases=(Release(held),)))
        found = [(me, reply) for me in (one, two) if (reply := await pools.exchange(me, Batch())).grants]
        if not found:
            break
        ((owner, reply),) = found
        (held,) = granted(reply.grants)
        order.append(held)
    assert order == ["run", "high", "old", "late", "later"]


async def test_keys_have_limits_of_their_own(pools: RedisPools, namespace: str) -> None:
    """Given per_key=1, a second ticket of a key waits, one of another key (and the empty one) does not."""
    me = await opened(pools, namespace, ("a", Quota(10, per_key=1)))
    claims = (claim("x1", Need("a", key="x")), claim("x2", Need("a", key="x")), claim("e", Need("a", key="")))
    reply = await pools.exchange(me, Batch(claims=(*claims, claim("whole", Need("a", 3)))))
    assert granted(reply.grants) == ["x1", "e", "whole"]
    reply = await pools.exchange(me, Batch(releases=(Release("x1"),), seen=("e", "whole")))
    assert granted(reply.grants) == ["x2"]
    reply = await pools.exchange(me, Batch(claims=(claim("wide", Need("a", 2, key="y")),)))
    assert reply.refused == (Refusal("wide", "a", "y", 2, 1),)


async def test_a_part_is_released_and_the_last_part_is_the_ticket(pools: RedisPools, namespace: str) -> None:
    """Giving back pool after pool frees each at once; the ticket is gone with the last; again is told as gone."""
    me = await opened(pools, namespace, ("a", Quota(1)), ("b", Quota(1)))
    await pools.exchange(me, Batch(claims=(claim("t", Need("a"), Need("b")),)))
    first = await pools.exchange(me, Batch(releases=(Release("t", "a"),)))
    assert [(one.pool, one.used) for one in first.usage] == [("a", 0), ("b", 1)]
    assert [pool for pool, _ in first.grants[0].fences] == ["b"]
    again = await pools.exchange(me, Batch(releases=(Release("t", "a"),)))
    assert (again.gone, again.usage) == ((), ())
    last = await pools.exchange(me, Batch(releases=(Release("t", "b"),)))
    assert (last.gone, last.grants) == ((), ())
    assert (await pools.exchange(me, Batch(releases=(Release("t", "b"),)))).gone == ("t",)
    assert (await pools.snapshot(namespace)).tickets == ()


async def test_repeats_do_nothing_and_grants_come_until_seen(pools: RedisPools, namespace: str) -> None:
    """The same batch twice has one effect; a grant is told again until it is seen; foreign tickets are gone."""
    me = await opened(pools, namespace, ("a", Quota(2)))
    other = await opened(pools, namespace, session="other")
    batch = Batch(claims=(claim("t"), claim("u")))
    first = await pools.exchange(me, batch)
    assert said(await pools.exchange(me, batch)) == said(first)
    assert (await pools.exchange(me, Batch(seen=("t",)))).grants == (first.grants[1],)
    stolen = await pools.exchange(other, Batch(releases=(Release("t"),), cancels=("u",), seen=("nobody",)))
    assert stolen.gone == ("t", "u", "nobody")
    assert [view.ticket for view in (await pools.snapshot(namespace)).tickets] == ["t", "u"]


def said(reply: Reply) -> Reply:
    """Returns a reply without its times, and without the pools that only the first of two alike changes."""
    return replace(reply, server_time=0.0, next_expiry=None, usage=())


async def test_ready_and_reprioritise(pools: RedisPools, namespace: str) -> None:
    """Who is not ready is skipped and keeps its place; who moves up is next."""
    me = await opened(pools, namespace, ("a", Quota(1)))
    await pools.exchange(me, Batch(claims=(claim("now"), claim("b"), claim("c"), claim("d", ready=False))))
    reply = await pools.exchange(
        me, Batch(releases=(Release("now"),), ready=(("b", False),), reprioritise=(Reprioritise("c", 0, 0),))
    )
    assert granted(reply.grants) == ["c"]
    reply = await pools.exchange(me, Batch(releases=(Release("c"),), ready=(("b", True), ("d", True))))
    assert granted(reply.grants) == ["b"]
    reply = await pools.exchange(me, Batch(claims=(claim("e"),), reprioritise=(Reprioritise("e", 5, 0),)))
    reply = await pools.exchange(me, Batch(releases=(Release("b"),), reprioritise=(Reprioritise("e", 5, 0),)))
    assert granted(reply.grants) == ["e"]


async def test_an_operator_sets_pauses_and_takes_away(pools: RedisPools, namespace: str) -> None:
    """define beats definitions until unset; a paused pool gives nothing; a revoked ticket is told until released."""
    me = await opened(pools, namespace, ("a", Quota(1)))
    operator = await opened(pools, namespace, session="operator")
    await pools.exchange(operator, Batch(define=(Define("a", Quota(0)),)))
    assert (await pools.exchange(me, Batch(claims=(claim("t"),)))).grants == ()
    await pools.exchange(operator, Batch(pause=("a",), unset=("a",)))
    assert (await pools.exchange(me, Batch())).grants == ()
    await pools.exchange(operator, Batch(resume=("a",)))
    assert granted((await pools.exchange(me, Batch())).grants) == ["t"]
    assert (await pools.exchange(operator, Batch(revoke=("t", "nobody")))).gone == ("nobody",)
    for _ in range(2):
        reply = await pools.exchange(me, Batch())
        assert (reply.grants, reply.gone) == ((), ("t",))
    assert (await pools.exchange(me, Batch(releases=(Release("t"),)))).gone == ()
    assert (await pools.exchange(me, Batch())).gone == ()


async def test_the_default_limit_is_explicit_or_the_latest_session_s(pools: RedisPools, namespace: str) -> None:
    """A pool that nobody defined takes the default limit; raised, it lets waiters on."""
    name = f"s of {namespace}"
    await pools.open(SessionSpec(name, namespace, ttl=600.0, default_limit=1))
    assert granted((await pools.exchange(name, Batch(claims=(claim("t"), claim("u"))))).grants) == ["t"]
    reply = await pools.exchange(name, Batch(define=(Define(None, Quota(2)),)))
    assert granted(reply.grants) == ["t", "u"]
    await pools.open(SessionSpec(name + "2", namespace, ttl=600.0, default_limit=7))
    (view,) = (await pools.snapshot(namespace)).pools
    assert (view.quota, view.source) == (Quota(2), "default")
    await pools.exchange(name, Batch(unset=(None,)))
    (view,) = (await pools.snapshot(namespace)).pools
    assert (view.quota, view.source) == (Quota(7), "default")


async def test_a_wide_ticket_that_was_passed_64_times_gathers(pools: RedisPools, namespace: str) -> None:
    """Two units for one ticket, beside small ones that never leave both free: it gathers, and is served."""
    me = await opened(pools, namespace, ("a", Quota(2)))
    await pools.exchange(me, Batch(claims=(claim("n0"), claim("n1"))))
    await pools.exchange(me, Batch(seen=("n0", "n1"), claims=(claim("wide", Need("a", 2)),)))
    passed = 0
    for number in range(2, 200):
        batch = Batch(releases=(Release(f"n{number - 2}"),), seen=(f"n{number}",), claims=(claim(f"n{number}"),))
        reply = await pools.exchange(me, batch)
        if not any(grant.ticket == f"n{number}" for grant in reply.grants):
            break
        await pools.exchange(me, Batch(seen=(f"n{number}",)))
        passed += 1
    assert passed == 64
    wide = next(view for view in (await pools.snapshot(namespace)).tickets if view.ticket == "wide")
    assert wide.gathering
    reply = await pools.exchange(me, Batch(releases=(Release(f"n{number - 1}"),)))
    assert granted(reply.grants) == ["wide"]


async def test_what_expires_goes_with_all_its_tickets(pools: RedisPools, namespace: str) -> None:
    """A session that ended by time frees what it held for others, and learns that it is lost; nothing of it is done."""
    gone, me = f"gone {namespace}", await opened(pools, namespace, ("a", Quota(1)))
    await pools.open(SessionSpec(gone, namespace, ttl=600.0))
    assert granted((await pools.exchange(gone, Batch(claims=(claim("t"),)))).grants) == ["t"]
    reply = await pools.exchange(me, Batch(claims=(claim("u"),)))
    assert reply.grants == ()
    assert reply.next_expiry is not None
    assert 590 < reply.next_expiry <= 600
    await pools.exchange(gone, Batch(renew=0.000001))
    assert granted((await pools.exchange(me, Batch())).grants) == ["u"]
    lost = await pools.exchange(gone, Batch(claims=(claim("v"),)))
    assert (lost.alive, lost.grants) == (False, ())
    assert [view.ticket for view in (await pools.snapshot(namespace)).tickets] == ["u"]


async def test_a_session_reopened_is_renewed_and_nothing_else(pools: RedisPools, namespace: str) -> None:
    """open twice: the second says it was open already; its definitions do not count; a conflict is told once."""
    me = await opened(pools, namespace, ("a", Quota(1)))
    again = await pools.open(SessionSpec(me, namespace, ttl=600.0), [PoolSpec("a", Quota(9))])
    assert (again.fresh, again.conflicts) == (False, ())
    other = await pools.open(SessionSpec(f"o{namespace}", namespace, ttl=600.0), [PoolSpec("a", Quota(3))])
    assert [(one.pool, one.before, one.now) for one in other.conflicts] == [("a", Quota(1), Quota(3))]


async def test_pages_show_every_ticket_once(pools: RedisPools, namespace: str) -> None:
    """Pages of 7 of 50 tickets: each once, in the order of claims; pools on the first page only."""
    me = await opened(pools, namespace, ("a", Quota(3)))
    await pools.exchange(me, Batch(claims=tuple(claim(f"t{n}") for n in range(50))))
    page = await pools.snapshot(namespace, limit=7)
    assert [(view.pool, view.used, view.waiting) for view in page.pools] == [("a", 3, 47)]
    seen = [view.ticket for view in page.tickets]
    while page.next is not None:
        page = await pools.snapshot(namespace, limit=7, after=page.next)
        assert page.pools == ()
        seen += [view.ticket for view in page.tickets]
    assert seen == [f"t{n}" for n in range(50)]


async def test_ten_thousand_waiters_cost_a_release_as_little_as_a_hundred(server: Server, namespace: str) -> None:
    """A release among 10,000 waiters reads the index as often as one among 100."""
    import redis.asyncio

    raw = redis.asyncio.Redis(port=server.port)
    pools = RedisPools(server.url)

    async def commands(waiters: int) -> int:
        me = await opened(pools, f"{namespace}{waiters}", ("a", Quota(1)), session=str(waiters))
        for start in range(0, waiters, 1000):
            names = range(start, min(start + 1000, waiters))
            await pools.exchange(me, Batch(claims=tuple(claim(f"t{n}") for n in names)))
        before = (await raw.info("commandstats"))["cmdstat_zrangebylex"]["calls"]
        await pools.exchange(me, Batch(seen=("t0",), releases=(Release("t0"),)))
        after = (await raw.info("commandstats"))["cmdstat_zrangebylex"]["calls"]
        await pools.close(me)
        return int(after - before)

    assert await commands(10_000) == await commands(100)
    await pools.disconnect()
    await raw.aclose()
