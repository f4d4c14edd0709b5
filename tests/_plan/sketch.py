"""Plans for tests of pictures, drawn by hand, without wiring anything."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType, SimpleNamespace
from typing import Any

from asyncflow._authoring import NodeKind
from asyncflow._plan.node import Fragment, PlanNode
from asyncflow._plan.scope import Scope


@dataclass
class SketchedPlan:
    """What a picture reads."""

    name: str
    output: int
    nodes: tuple[PlanNode, ...]
    scopes: tuple[Scope, ...]


class Sketch:
    """Adds node after node; each call returns the id of its node."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.nodes: list[PlanNode] = []
        self.scopes = [Scope(None, "", None, ())]
        self.current = 0
        self.output = -1

    def plan(self) -> SketchedPlan:
        return SketchedPlan(self.name, self.output, tuple(self.nodes), tuple(self.scopes))

    @contextmanager
    def scope(self, path: str) -> Generator[None]:
        outer, self.current = self.current, len(self.scopes)
        self.scopes.append(Scope(outer, path, None, ()))
        yield
        self.current = outer

    def op(
        self,
        key: str,
        *sources: int,
        pool: Mapping[str, int] | None = None,
        tags: Mapping[str, str] | None = None,
        after: tuple[int, ...] = (),
        gate: int = -1,
    ) -> int:
        return self.add(NodeKind.OP, key, sources, op=sketched_op(pool, tags), after=after, gate=gate, shown=True)

    def input(self, key: str) -> int:
        return self.add(NodeKind.INPUT, key, ())

    def step(self, key: str, *sources: int, shown: bool = False) -> int:
        return self.add(NodeKind.STEP, key, sources, shown=shown)

    def collect(self, key: str, *sources: int) -> int:
        return self.add(NodeKind.COLLECT, key, sources)

    def gate(self, condition: int, polarity: bool) -> int:
        return self.add(NodeKind.GATE, f"when{len(self.nodes)}", (condition,), args=(condition, polarity))

    def merge(self, *sources: int) -> int:
        return self.add(NodeKind.MERGE, f"merge{len(self.nodes)}", sources)

    def map(self, key: str, items: int, *, pool: Mapping[str, int] | None = None, inner: tuple[str, ...] = ()) -> int:
        inside = Sketch("inside")
        inside.add(NodeKind.ITEM, "item", ())
        for name in inner or (key,):
            inside.op(name, 0, pool=pool)
        fragment = Fragment(tuple(inside.nodes), (), len(inside.nodes) - 1, (), None)
        return self.add(NodeKind.MAP, key, (), items=items, fragment=fragment)

    def add(self, kind: NodeKind, key: str, sources: tuple[int, ...], **given: Any) -> int:
        parts: dict[str, Any] = {
            "op": None, "fn": None, "args": (), "kwargs": None, "flat": None, "after": (), "gate": -1, "successors": (),
            "readers": 0, "waits_for": 0, "shape": -1, "lead": -1, "stage": 0, "settled": -1, "shown": False,
            "items": -1, "chained": False, "fragment": None, "where": ("", 0),
        }  # fmt: skip
        self.nodes.append(PlanNode(kind=kind, key=key, sources=sources, scope=self.current, **{**parts, **given}))
        return len(self.nodes) - 1


def sketched_op(pool: Mapping[str, int] | None, tags: Mapping[str, str] | None) -> Any:
    """Returns what a picture reads of an op."""
    needs = tuple((pool or {}).items())
    options = SimpleNamespace(pool=needs, tags=MappingProxyType(dict(tags or {})))
    return SimpleNamespace(options=options, pool=needs)
