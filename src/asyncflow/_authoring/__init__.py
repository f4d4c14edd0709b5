"""Authoring: plain-looking calls in the body of a graph are recorded as nodes.

While a graph is wired, a call of an op gives a promise of its result; promises passed on become dependencies. Nothing
here calls an op's function; bodies of graphs are called, but only to wire them.
"""

from asyncflow._authoring.branch import when
from asyncflow._authoring.call import call_graph, call_op, call_settled
from asyncflow._authoring.callee import WINDOW, Callee, SettledCallee
from asyncflow._authoring.check import size
from asyncflow._authoring.clause import Clause, parse_clauses
from asyncflow._authoring.definition import GraphDefinition, OpDefinition, define_graph, define_op
from asyncflow._authoring.each import each
from asyncflow._authoring.graph_node import refuse_too_deep, wire_late
from asyncflow._authoring.hint import Hint, stripped
from asyncflow._authoring.items import check_map_key, check_window, item_name, item_names
from asyncflow._authoring.node import Fragment, Node, NodeKind, Ref, Scope
from asyncflow._authoring.place import told, user_frame, user_place
from asyncflow._authoring.promise import Promise
from asyncflow._authoring.resource import (
    Lifetime,
    Needs,
    Resource,
    added,
    check_needs,
    check_provider,
    no_provider,
    pools_of,
    provider_name,
    use,
)
from asyncflow._authoring.run_wiring import input_values, wire_graph, wire_op, wire_open
from asyncflow._authoring.selection import GIVEN, select
from asyncflow._authoring.signature import Signature
from asyncflow._authoring.step import apply
from asyncflow._authoring.stream import stream
from asyncflow._authoring.unused import UnusedResultWarning
from asyncflow._authoring.wiring import Wiring

__all__ = [
    "GIVEN",
    "WINDOW",
    "Callee",
    "Clause",
    "Fragment",
    "GraphDefinition",
    "Hint",
    "Lifetime",
    "Needs",
    "Node",
    "NodeKind",
    "OpDefinition",
    "Promise",
    "Ref",
    "Resource",
    "Scope",
    "SettledCallee",
    "Signature",
    "UnusedResultWarning",
    "Wiring",
    "added",
    "apply",
    "call_graph",
    "call_op",
    "call_settled",
    "check_map_key",
    "check_needs",
    "check_provider",
    "check_window",
    "define_graph",
    "define_op",
    "each",
    "input_values",
    "item_name",
    "item_names",
    "no_provider",
    "parse_clauses",
    "pools_of",
    "provider_name",
    "refuse_too_deep",
    "select",
    "size",
    "stream",
    "stripped",
    "told",
    "use",
    "user_frame",
    "user_place",
    "when",
    "wire_graph",
    "wire_late",
    "wire_op",
    "wire_open",
]
