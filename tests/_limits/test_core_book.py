"""The book of pools: which limits a pool option asks for."""

import gc

import pytest

from asyncflow._limits import Admission, Claim, Limit, LimitBook, PoolQuota, PoolQuotas
from asyncflow._limits.book import tag_needs
from asyncflow.errors import ConfigurationError
from asyncflow.options import PER_VALUE, TagLimit


def told(needs: list[tuple[Limit, int]]) -> list[tuple[str, int | None, int]]:
    return [(limit.name, limit.capacity, slots) for limit, slots in needs]


def test_a_key_asks_for_its_pool_and_for_itself():
    """Where `per_key` is set, a key is a fine limit beside the pool; where it is not, only the pool counts."""
    book = LimitBook(Admission(), PoolQuotas(pools={"api": PoolQuota(5, 1), "db": PoolQuota(2, None)}))
    assert told(book.needs((("api:a", 2), ("db:x", 1)))) == [("api", 5, 2), ("api:a", 1, 2), ("db", 2, 1)]


def test_the_same_name_is_the_same_limit():
    """Two ops that name one key share its limit."""
    book = LimitBook(Admission(), PoolQuotas(pools={"api": PoolQuota(5, 1)}))
    assert book.needs((("api:a", 1),)) == book.needs((("api:a", 1),))


def test_default_limit_is_applied_to_pools_nobody_configured():
    """It is applied at first use, and nothing is said about it."""
    book = LimitBook(Admission(), PoolQuotas(default_limit=3))
    assert told(book.needs((("web", 1),))) == [("web", 3, 1)]
    assert book.notices == []


def test_an_unlimited_pool_is_counted_and_told_once_with_the_nearest_name():
    """A pool without any limit is most often misspelt."""
    book = LimitBook(Admission(), PoolQuotas(pools={"database": PoolQuota(1, None)}))
    assert told(book.needs((("databse", 1),))) == [("databse", None, 1)]
    book.needs((("databse", 1),))
    assert [(notice.pool, "'database'" in notice.message) for notice in book.notices] == [("databse", True)]


def test_strict_refuses_pools_without_a_limit():
    """The message names the pool, the nearest one, and what to do."""
    book = LimitBook(Admission(), PoolQuotas(pools={"database": PoolQuota(1, None)}, strict=True))
    with pytest.raises(ConfigurationError, match=r"'databse' has no limit.*'database'.*default_limit"):
        book.needs((("databse", 1),))


def test_keys_that_nobody_uses_are_forgotten():
    """Ten thousand customers leave no more than the few limits that are in use."""
    core = Admission()
    book = LimitBook(core, PoolQuotas(pools={"api": PoolQuota(None, 1)}))
    party = core.party(core.group("run"))
    kept = Claim(party, core.demand(book.needs((("api:kept", 1),))), 0)
    core.enqueue(kept)
    core.admit(0)
    for number in range(10_000):
        claim = Claim(party, core.demand(book.needs(((f"api:{number}", 1),))), number)
        core.enqueue(claim)
        assert core.admit(number) == [claim]
        core.release(claim)
        del claim
    core.admit(10_000)
    gc.collect()
    book.needs((("api:last", 1),))
    assert len(core.snapshot().limits) < 200
    again = Claim(party, core.demand(book.needs((("api:kept", 1),))), 1)
    core.enqueue(again)
    assert core.admit(10_001) == [], "the limit of a key in use was forgotten"


def test_a_key_named_by_a_living_demand_is_kept():
    """A plan keeps its demands; the limit of their key must not be made twice."""
    core = Admission()
    book = LimitBook(core, PoolQuotas(pools={"api": PoolQuota(None, 1)}))
    demand = core.demand(book.needs((("api:a", 1),)))
    for number in range(1_000):
        book.needs(((f"api:{number}", 1),))
    assert core.demand(book.needs((("api:a", 1),))) is demand


def test_tag_rules_in_their_three_forms():
    """A key alone counts all its values together, a value only itself, PER_VALUE each by itself."""
    core = Admission()
    made: dict[str, Limit] = {}

    def limit_of(name: str, rule: TagLimit) -> Limit:
        return made.setdefault(name, core.limit(name, rule.limit, named=False))

    rules = (
        TagLimit("kind", limit=5),
        TagLimit("kind", "cpu", 2),
        TagLimit("kind", "gpu", 1),
        TagLimit("host", PER_VALUE, 3),
        TagLimit("absent", limit=1),
    )
    asked = told(list(tag_needs(rules, {"kind": "cpu", "host": "h1"}, limit_of)))
    assert asked == [("@tag:kind", 5, 1), ("@tag:kind=cpu", 2, 1), ("@tag:host[h1]", 3, 1)]
