"""Wiring: what making a plan costs per op, the graph's body apart from freezing what it recorded."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from asyncflow import Graph, each, graph, op
from asyncflow._authoring import Wiring, wire_graph
from asyncflow._plan import freeze
from benchmarks.rounds import Clock
from benchmarks.scale import Scale
from benchmarks.shapes import chain, fan, layered, noop
from benchmarks.table import Table
from benchmarks.wired import wired


@op
async def single(number: int) -> int:
    """Takes an item."""
    return number


def mapped(count: int) -> Graph[[], list[int]]:
    """Returns a graph of one `each` over a real list."""

    @graph
    def over_items() -> list[int]:
        return each(single, range(count))

    return over_items


def measure_wiring(scale: Scale) -> Iterator[Table]:
    """Wires and freezes graphs without running them."""
    graphs: dict[str, tuple[Graph[[], list[int]], int]] = {
        f"chain of {scale.chain:,}": (wired(chain(scale.chain), noop, limit=64, static=False), scale.chain),
        f"fan-out and fan-in of {scale.ops:,}": (wired(fan(scale.ops), noop, limit=64, static=False), scale.ops),
        f"layers, {scale.ops:,} ops": (wired(layered(scale.ops), noop, limit=64, static=False), scale.ops),
        f"each over {scale.ops:,} items": (mapped(scale.ops), scale.ops),
    }
    times: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in graphs}
    for _ in range(scale.rounds):
        for name, (made, _) in graphs.items():
            body, frozen = _once(made, scale.clock)
            times[name][0].append(body)
            times[name][1].append(frozen)
    table = Table("wiring, no run", (("body µs/op", 2), ("freeze µs/op", 2), ("both µs/op", 2)))
    for name, (_, count) in graphs.items():
        body, frozen = [statistics.median(part) / count * 1e6 for part in times[name]]
        table.add(name, body, frozen, body + frozen)
    yield table


def _once(made: Graph[[], list[int]], clock: Clock) -> tuple[float, float]:
    """Returns the seconds that the body takes, and those that freezing takes."""
    wirings: list[Wiring] = []
    body = clock.seconds(lambda: wirings.append(wire_graph(made, (), {})))
    return body, clock.seconds(lambda: freeze(wirings[0]))
