"""Placeholder while the real one is being written elsewhere."""
from __future__ import annotations
from typing import Any
class NewLimit:
    def __init__(self, *a, **k): self.a, self.k = a, k
class Changes:
    def __init__(self) -> None: self.ops: list[Any] = []
    def new_limit(self, name: str, capacity: int | None, *, named: bool = True, reentrant: bool = True) -> NewLimit:
        n = NewLimit(name, capacity, named=named, reentrant=reentrant); self.ops.append(("new", n)); return n
    def __getattr__(self, name):
        return lambda *a: self.ops.append((name, *a))
def apply(core, changes):
    made = {}
    for name, *a in changes.ops:
        if name == "new": made[a[0]] = core.limit(*a[0].a, **a[0].k)
        elif name == "rematch": core.rematch(a[0], core.demand([(made.get(l, l), n) for l, n in a[1]]))
        else: getattr(core, name)(*a)
    return made
