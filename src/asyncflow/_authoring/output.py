"""What the body of a graph returned, as the wiring keeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asyncflow._authoring.arguments import absorbed
from asyncflow._authoring.node import Node, NodeKind
from asyncflow._authoring.promise import Promise
from asyncflow._authoring.step import same

if TYPE_CHECKING:
    from asyncflow._authoring.definition import GraphDefinition
    from asyncflow._authoring.wiring import Wiring


def kept(wiring: Wiring, definition: GraphDefinition, output: Any) -> Any:  # noqa: ANN401 — what the body returned
    """Returns what the body returned as a reference where it is a promise or holds some."""
    taken = absorbed(wiring, (output,), None, who=f"the output of {definition.name}", where=definition.where)
    if type(output) is Promise or not taken.sources:
        return taken.args[0]
    node = Node(
        NodeKind.STEP, wiring.key("(output)"), fn=same, args=taken.args, refs=taken.refs, sources=taken.sources,
        where=definition.where,
    )  # fmt: skip
    return wiring.add(node).ref__
