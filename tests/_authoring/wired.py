"""What the tests of this room look at: the nodes of a wiring by key, and ops to wire."""

from __future__ import annotations

from typing import Any

from asyncflow import Graph, op
from asyncflow._authoring import Node, NodeKind, Wiring, wire_graph


@op
async def fetch(url: str, *, depth: int = 0) -> str:
    """A page."""
    return f"<{url}:{depth}>"


@op
async def links(page: str) -> list[str]:
    """The links of a page."""
    return page.split()


@op
async def count(page: str, factor: int = 1) -> int:
    """The size of a page."""
    return len(page) * factor


@op
async def total(counts: list[int]) -> int:
    """A sum."""
    return sum(counts)


@op
async def pair(url: str) -> tuple[int, str]:
    """Two results."""
    return len(url), url


@op
async def anything(*args: Any, **kwargs: Any) -> Any:
    """Takes and gives anything."""
    return args, kwargs


@op
async def touch(url: str) -> None:
    """An op without a result."""


def wired(graph: Graph[..., Any], *args: Any, **kwargs: Any) -> Wiring:
    """Returns the wiring of a graph."""
    return wire_graph(graph, args, kwargs)


def nodes(graph: Graph[..., Any], *args: Any, **kwargs: Any) -> dict[str, Node]:
    """Returns the nodes of a graph by key."""
    found = wired(graph, *args, **kwargs).nodes
    assert len({node.key for node in found}) == len([n for n in found if n.kind is not NodeKind.CAPTURE])
    return {node.key: node for node in found}


def op_keys(graph: Graph[..., Any], *args: Any, **kwargs: Any) -> list[str]:
    """Returns the keys of what results will show, in the order of the calls."""
    return [node.key for node in wired(graph, *args, **kwargs).nodes if node.shown]


def reads(graph: Graph[..., Any], key: str, *args: Any) -> list[str]:
    """Returns the keys of what a node reads."""
    wiring = wired(graph, *args)
    node = next(node for node in wiring.nodes if node.key == key)
    return [wiring.nodes[i].key for i in node.sources]
