"""Settled calls: what fails inside is tolerated, and how it ended is the value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from asyncflow._authoring.hint import Hint
from asyncflow._authoring.node import Node, NodeKind
from asyncflow._authoring.place import Place
from asyncflow._authoring.promise import Promise
from asyncflow._authoring.step import as_promise

if TYPE_CHECKING:
    from asyncflow._authoring.wiring import Wiring

UNSETTLED: Final = -2
"""Stands in nodes wired inside a settled call until its OUTCOME node has an id."""


def settled(wiring: Wiring, wire: Callable[[], object], *, key: str, where: Place, gives: Hint | None) -> Promise:
    """Records what `wire` wires as one settled call and returns the promise of its outcome."""
    start = len(wiring.nodes)
    with wiring.at(replace(wiring.site, settled=UNSETTLED)):
        result = as_promise(wiring, wire())
    source = wiring.ref(result).id
    outcome = wiring.add(Node(NodeKind.OUTCOME, f"(settled {key})", sources=(source,), where=where, gives=gives))
    for node in wiring.nodes[start : outcome.ref__.id]:
        if node.settled == UNSETTLED:
            node.settled = outcome.ref__.id
    return outcome
