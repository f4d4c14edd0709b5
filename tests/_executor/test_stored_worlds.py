"""Random graphs whose process dies at any moment: going on from the store gives what a whole run gives."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncflow import Outcome, Skip, apply, each, graph, op, stream, when
from asyncflow._store.entry import OpEntry
from asyncflow._store.memory import MemoryRuns
from asyncflow.testing import run_virtual
from tests._store.cut import killed, on

ran: Counter[str] = Counter()
faulty: set[str] = set()


@op
async def node(name: str, deps: list[Any]) -> int:
    """One more than what it depends on."""
    ran[name] += 1
    await anyio.sleep(len(name) / 10)
    if name in faulty:
        raise ValueError(name)
    return 1 + sum(number(one) for one in deps)


def number(value: object) -> int:
    """A number for whatever an op may be given."""
    if isinstance(value, list):
        return sum(number(one) for one in value)
    return value if isinstance(value, int) else 0


@op
async def item(value: int, name: str) -> int:
    ran[f"{name}[{value}]"] += 1
    await anyio.sleep(0.1)
    if value == 2:
        raise Skip("two")
    return value * 3


@op
async def later(value: int, name: str) -> int:
    ran[f"{name}'[{value}]"] += 1
    await anyio.sleep(0.1)
    return value + 1


@op
async def spread(value: int, name: str) -> list[int]:
    ran[f"{name}s"] += 1
    return list(range(value % 5))


@op
async def failing(name: str, value: int) -> int:
    ran[name] += 1
    await anyio.sleep(0.2)
    raise ValueError(name)


@op
async def judge(outcome: Outcome[int], name: str) -> int:
    ran[f"{name}j"] += 1
    await anyio.sleep(0.2)
    assert outcome.value is not None or isinstance(outcome.error, ValueError)
    return outcome.value or 7


@op
async def source(value: int, name: str):
    for i in range(value % 4):
        await anyio.sleep(0.05)
        yield i


@op
async def reader(items: object, name: str) -> int:
    ran[f"{name}r"] += 1
    total = 0
    async for one in items:  # type: ignore[attr-defined]  # a stream it is
        total += one
    return total


@graph(late=True)
def deep(value: int, name: str) -> int:
    """As many ops in a row as the value says."""
    made = node(f"{name}a", [value])
    for i in range(value % 3):
        made = node(f"{name}b{i}", [made])
    return made


@graph
async def live(value: int, name: str) -> int:
    first = await node.run(f"{name}l", [value])
    return first + await node.run(f"{name}m", [first])


@graph
def nested(value: int, name: str) -> int:
    return node(f"{name}n", [value, node(f"{name}o", [value])])


KINDS = ["op", "op", "map", "chain", "settled", "when", "step", "late", "live", "nested", "stream"]


def made(kind: str, name: str, deps: list[Any]) -> Any:  # noqa: PLR0911 — one for each kind
    """Wires one part of a random graph."""
    match kind:
        case "map":
            return apply(number, each(item, spread(node(name, deps), name), name))
        case "chain":
            return each(later, each(item, spread(node(name, deps), name), name), name)
        case "settled":
            return judge(failing.settled(name, node(f"{name}x", deps)), name)
        case "when":
            value = node(name, deps)
            return when(value > 2, lambda: node(f"{name}y", [value]), lambda: value)
        case "step":
            return apply(number, [node(name, deps), *deps])
        case "late":
            return deep(node(name, deps), name)
        case "live":
            return live(node(name, deps), name)
        case "nested":
            return nested(node(name, deps), name)
        case "stream":
            return reader(stream(each(later, source(node(name, deps), name), name)), name)
        case _:
            return node(name, deps)


def world(rng: random.Random) -> Any:
    """Returns a random graph."""
    parts = [
        (rng.choice(KINDS), f"n{i}", rng.sample(range(i), rng.randint(0, min(i, 3)))) for i in range(rng.randint(1, 9))
    ]
    wanted = rng.sample(range(len(parts)), rng.randint(1, len(parts)))

    @graph
    def wired() -> list[Any]:
        results: list[Any] = []
        for kind, name, deps in parts:
            results.append(made(kind, name, [results[j] for j in deps]))
        return [results[j] for j in wanted]

    return wired


def plain(value: Any) -> Any:
    """A result as it compares."""
    return [plain(one) for one in value] if isinstance(value, list) else value


@pytest.mark.filterwarnings("ignore::asyncflow.UnusedResultWarning")
@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32), deaths=st.lists(st.floats(0, 1), min_size=1, max_size=3), faults=st.booleans())
def test_a_run_that_died_goes_on_as_if_it_had_not(seed: int, deaths: list[float], faults: bool) -> None:
    """Given a random graph, killed up to three times after any number of records, each time resumed.

    The value is that of a whole run, and no op of which a success, or a skip, was recorded has run again (those inside
    of bodies aside).
    """

    async def main() -> None:
        rng = random.Random(seed)
        wired = world(rng)
        faulty.clear()
        whole_world, whole = killed(MemoryRuns(), 10**9)
        ran.clear()
        expected = await wired.on(whole_world).run()
        names = Counter(ran)
        store = MemoryRuns()
        run_id: str | None = None
        recorded: set[str] = set()
        for part in deaths:
            deployment, cut = killed(store, int(part * (len(whole.written) + 1)))
            faulty.update(rng.sample(sorted(names), 1) if faults else [])
            result = await wired.options(resume_from=run_id).on(deployment).try_run()
            faulty.clear()
            if cut.written:
                run_id = result.run_id
            recorded |= {
                entry.key
                for entry in cut.written
                if isinstance(entry, OpEntry) and entry.status in ("SUCCEEDED", "SKIPPED")
            }
        before = Counter(ran)
        ran.clear()
        again = await wired.options(resume_from=run_id).on(on(store)).try_run()
        assert plain(again.output) == plain(expected), (again.errors, before)
        for key in recorded & again.ops.keys():
            inside = "live" in key or key.startswith(("source", "later")) or "/" in key
            assert inside or again.ops[key].status.value in ("REUSED", "SKIPPED", "FAILED"), key

    run_virtual(main)
