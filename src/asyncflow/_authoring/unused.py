"""Results that nothing uses: the backstop for what a promise cannot see, such as `x is None`."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Final

from asyncflow._authoring.node import Node, NodeKind, Ref
from asyncflow._authoring.place import Place
from asyncflow._authoring.step import is_end

if TYPE_CHECKING:
    from asyncflow._authoring.wiring import Wiring

_RESULTS: Final = frozenset(
    {
        NodeKind.OP,
        NodeKind.COLLECT,
        NodeKind.MAP,
        NodeKind.OUTCOME,
        NodeKind.BODY,
        NodeKind.RESULT,
        NodeKind.STREAM,
    }
)
_said: dict[Any, Any] = {}


class UnusedResultWarning(UserWarning):
    """The result of an op is not None, and nothing in its graph uses it."""


def warn_of_unused(wiring: Wiring) -> None:
    """Warns of every result that is not None and used nowhere, once for each line that wired one."""
    nodes = wiring.nodes
    used: set[int] = {wiring.output.id} if type(wiring.output) is Ref else set()
    used.update(*[node.sources for node in nodes])
    for node in [node for node in nodes if node.after or node.fragment is not None]:
        if not is_end(node):  # the end of a nested graph waits for all of it, and uses nothing
            used.update(node.after)
        if node.fragment is not None:
            used.update((node.items, *node.fragment.captures))
    if len(used) == len(nodes):
        return
    said: set[Place] = set()
    for i, node in enumerate(nodes):
        if i in used or node.kind not in _RESULTS or node.gives is None or not node.gives.valued:
            continue
        if node.where not in said and not (node.kind is NodeKind.COLLECT and _continued(wiring, i)):
            said.add(node.where)
            _warn(wiring, node)


def _continued(wiring: Wiring, collector: int) -> bool:
    """True where nobody needs the list: it is empty, or a further `each` takes the items one by one."""
    items = wiring.items[collector].results
    if not items:
        return True
    read = {i for j, node in enumerate(wiring.nodes) if j != collector for i in node.sources}
    return any(i in read for i in items)


def _warn(wiring: Wiring, node: Node) -> None:
    name = node.key.removeprefix("(settled ").removesuffix(")")
    message = (
        f"the result of {wiring.graph_name}/{name}, {node.gives}, is used nowhere. If `x is None` or `x is …` was asked"
        " of it: that cannot be seen, write `x == …` or `apply(lambda value: value is None, x)`. If it is called for"
        " its effect: return it, order something `.after(…)` it, or annotate it `-> None`"
    )
    file, line = node.where
    warnings.warn_explicit(message, UnusedResultWarning, file or "<unknown>", line, registry=_said)
