"""Graphs: the framework's cost per op of a run, beside the same graph by hand."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.by_hand import Body, behind_semaphores, floor, leanest, tables
from benchmarks.rounds import Contender, in_turns
from benchmarks.scale import Scale
from benchmarks.shapes import Shape, chain, fan, layered, noop, once
from benchmarks.table import Table
from benchmarks.wired import BINDING, deployment_of, kept, listened, wired

FLOOR = "by hand: a task per op (the floor)"
LEANEST = "by hand: leanest"


def contenders_of(shape: Shape, body: Body) -> dict[str, Contender]:
    """Returns all ways to run a shape."""
    made = tables(shape)

    async def guarded() -> list[int]:
        return await floor(shape, behind_semaphores(body, BINDING))

    found: dict[str, Contender] = {
        FLOOR: lambda: floor(shape, body),
        LEANEST: lambda: leanest(shape, body, made),
        f"by hand: three semaphores of {BINDING}": guarded,
    }
    room = len(shape)
    for static in (True, False):
        name = "static" if static else "wired"
        for limit, said in (
            (None, "no limits"),
            (room, "cap + tag + pool, with room"),
            (BINDING, f"cap + tag + pool of {BINDING}"),
        ):
            found[f"{name}: {said}"] = kept(wired(shape, body, limit=limit, static=static), deployment_of(limit))
    found["static: with room, events kept"] = listened(wired(shape, body, limit=room, static=True), deployment_of(room))
    return found


def measure_graphs(scale: Scale) -> Iterator[Table]:
    """Chain, fan-out and fan-in, and layers: for ops that never suspend, and for ops that do once."""
    shapes: list[tuple[str, Shape, Body]] = [
        (f"chain of {scale.chain:,}", chain(scale.chain), noop),
        (f"fan-out and fan-in of {scale.ops:,}", fan(scale.ops), noop),
        (f"layers of 100, {scale.ops:,} ops", layered(scale.ops), noop),
        (f"chain of {scale.chain:,}, ops suspend once", chain(scale.chain), once),
        (f"fan-out and fan-in of {scale.ops:,}, ops suspend once", fan(scale.ops), once),
        (f"layers of 100, {scale.ops:,} ops, ops suspend once", layered(scale.ops), once),
    ]
    for title, shape, body in shapes:
        contenders = contenders_of(shape, body)
        found = in_turns(contenders, rounds=scale.rounds, clock=scale.clock, expected=[1] * len(shape))
        table = Table(title, (("µs/op", 2), ("× floor", 2), ("× leanest", 2)))
        for name in contenders:
            cost = found.seconds(name) / len(shape) * 1e6
            table.add(name, cost, found.ratio(name, FLOOR), found.ratio(name, LEANEST))
        yield table


def measure_crowds(scale: Scale) -> Iterator[Table]:
    """Fan-outs of growing size through limits of one size: an op must not cost more because more of them wait."""
    contenders: dict[str, Contender] = {}
    for count in scale.crowds:
        made = wired(fan(count), once, limit=BINDING, static=True)
        contenders[f"{count:,} ops"] = kept(made, deployment_of(BINDING))
    found = in_turns(contenders, rounds=max(1, scale.rounds // 3), clock=scale.clock)
    table = Table(
        f"fan-out through cap + tag + pool of {BINDING}, ops suspend once, nearly all of them blocked",
        (("µs/op", 2), ("× smallest", 2)),
    )
    least = found.seconds(f"{scale.crowds[0]:,} ops") / scale.crowds[0]
    for count in scale.crowds:
        cost = found.seconds(f"{count:,} ops") / count
        table.add(f"{count:,} ops", cost * 1e6, cost / least)
    yield table
