"""A part of a wiring: what was selected, what it needs beside it, and the values of what is left out.

Selected are layers (`reach`). What they read is kept where it only passes values on, and cut where it is a layer of
its own that was not selected: there a given value takes its place. Who starts after something that is left out does
not wait for it. Everything else goes.

The value of what is left is a dict of every selected op's result, by key; an `each` of which all was selected is one
list. Nothing is cut inside an `each` over a result: it runs as a whole, or not at all.

Rejected: marking left-out ops as ended in a run of the whole plan. Whatever was not run would then stand among the
results, wait in pictures, and count for what the plan asks of its limits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, cast

from asyncflow._authoring.clause import Clause
from asyncflow._authoring.node import Node, NodeKind, Ref
from asyncflow._authoring.reach import before, is_layer, outer_maps, reached
from asyncflow._authoring.step import same
from asyncflow._authoring.wiring import Wiring
from asyncflow.errors import PlanError, did_you_mean
from asyncflow.results import OpStatus, Outcome

GIVEN: Final = "(given "
"""What the key of a node begins with that stands for what is left out."""

_ABSENT: Final = object()


class Unit(NamedTuple):
    """One entry of the value."""

    key: str
    node: int


def select(wiring: Wiring, clauses: Sequence[Clause], values: Mapping[str, object], *, open_ended: bool) -> None:
    """Leaves of a wiring what was selected, and makes its value the dict of that.

    Args:
        wiring: What was wired; it is changed.
        clauses: The selection.
        values: Results of what is left out, by key.
        open_ended: True to leave missing values open, as inputs of the plan.

    Raises:
        PlanError: for a name that nothing has, and for values that are missing, naming them.
    """
    nodes = wiring.nodes
    chosen = reached(nodes, clauses, graph=wiring.graph_name)
    part = _Part(nodes, chosen)
    units = part.units()
    part.keep([*chosen, *[unit.node for unit in units]])
    found = {i: _given(values, _called(nodes[i])) for i in sorted(part.cut)}
    missing = {i: _called(nodes[i]) for i, value in found.items() if value is _ABSENT}
    if missing and not open_ended:
        raise _missing(wiring.graph_name, list(missing.values()), values)
    new = part.renumbered()
    for old, value in found.items():
        part.replace(old, value)
    wiring.nodes = [nodes[old] for old in new]
    for old, ref in enumerate(wiring.refs):
        ref.id = new.get(old, -1)
    wiring.refs = [wiring.refs[old] for old in new]
    wiring.inputs = [(name, new[old]) for name, old in wiring.inputs if old in new]
    wiring.inputs += [(key, new[old]) for old, key in missing.items()]
    wiring.output = _gathered(wiring, [Unit(unit.key, new[unit.node]) for unit in units])


class _Part:
    """What is kept of the nodes, and where it is cut."""

    def __init__(self, nodes: list[Node], chosen: set[int]) -> None:
        self.nodes = nodes
        self.chosen = chosen
        self.kept: set[int] = {i for i, node in enumerate(nodes) if node.kind is NodeKind.INPUT}
        self.cut: set[int] = set()
        self.tolerating = {outcome for i in chosen for outcome in self._outcomes(i)}
        self.touched = {name for i in chosen for name in outer_maps(nodes[i].key)}
        self.whole = self._whole()
        self.nearest: dict[int, tuple[int, ...]] = {}

    def _outcomes(self, i: int) -> list[int]:
        """Returns the settled calls that a node stands in, innermost first."""
        found: list[int] = []
        i = self.nodes[i].settled
        while i >= 0:
            found.append(i)
            i = self.nodes[i].settled
        return found

    def _whole(self) -> list[bool]:
        """Returns for every node whether nothing before it, up to the selected layers, is left out."""
        whole: list[bool] = []
        for i, node in enumerate(self.nodes):
            whole.append(i in self.chosen if is_layer(node) else all(whole[j] for j in before(node)))
        return whole

    # ── what is in the value ──────────────────────────────────────────────────────────────────────────────────────

    def units(self) -> list[Unit]:
        """Returns the entries of the value, in the order of the calls."""
        nodes = self.nodes
        layers = Counter([name for node in nodes if is_layer(node) for name in outer_maps(node.key)])
        mine = Counter([name for i in self.chosen for name in outer_maps(nodes[i].key)])
        lists = {node.key: i for i, node in enumerate(nodes) if node.kind is NodeKind.COLLECT}
        found: dict[int, Unit] = {}
        for i in sorted(self.chosen):
            full = [name for name in outer_maps(nodes[i].key) if name in lists and layers[name] == mine[name]]
            place = lists[full[0]] if full else i
            if place + 1 < len(nodes) and nodes[place + 1].kind is NodeKind.RESULT:  # it stands behind its body
                place += 1
            place = (self._outcomes(place) or [place])[-1]
            found.setdefault(place, Unit(_called(nodes[place]), place))
        return list(found.values())

    # ── what is kept ──────────────────────────────────────────────────────────────────────────────────────────────

    def keep(self, wanted: Iterable[int]) -> None:
        """Keeps nodes with all that they read, up to what was left out, which is cut."""
        todo = [*wanted, *self.tolerating]
        while todo:
            i = todo.pop()
            if i in self.kept:
                continue
            self.kept.add(i)
            node = self.nodes[i]
            order: dict[int, None] = {}
            for j in node.after:
                order.update(dict.fromkeys([j] if self.whole[j] else self._nearest(j)))
            node.after = tuple(order)
            for j in before(node):
                if self._is_cut(j):
                    self.cut.add(j)
                else:
                    todo.append(j)
        self.cut -= self.kept

    def _is_cut(self, i: int) -> bool:
        """Says whether a value has to be given in place of what a node would have given."""
        node = self.nodes[i]
        if is_layer(node):
            return i not in self.chosen
        if self.whole[i]:
            return False
        if node.kind is NodeKind.COLLECT:
            return node.key not in self.touched
        return node.kind is NodeKind.OUTCOME and i not in self.tolerating

    def _nearest(self, i: int) -> tuple[int, ...]:
        """Returns the selected layers right before a joint of which some are left out."""
        known = self.nearest.get(i)
        if known is None:
            found: dict[int, None] = {}
            seen: set[int] = set()
            todo = [i]
            while todo:
                j = todo.pop()
                if j in seen:
                    continue
                seen.add(j)
                if is_layer(self.nodes[j]):
                    if j in self.chosen:
                        found[j] = None
                else:
                    todo.extend(before(self.nodes[j]))
            known = self.nearest[i] = tuple(sorted(found))
        return known

    # ── what becomes of it ────────────────────────────────────────────────────────────────────────────────────────

    def replace(self, i: int, value: object) -> None:
        """Puts a given value, or an input that is still open, in the place of a cut node."""
        node = self.nodes[i]
        name = GIVEN + f"{_called(node).replace('/', '.')})"
        if value is _ABSENT:
            self.nodes[i] = Node(NodeKind.INPUT, name, where=node.where, gives=node.gives)
            return
        if node.kind is NodeKind.OUTCOME and not is_outcome(value):
            value = Outcome(OpStatus.SUCCEEDED, value)
        self.nodes[i] = Node(NodeKind.STEP, name, fn=same, args=(value,), where=node.where, gives=node.gives)

    def renumbered(self) -> dict[int, int]:
        """Gives what stays its new ids, in the old order, and returns them by the old ones."""
        new = {old: i for i, old in enumerate(sorted(self.kept | self.cut))}
        leads: dict[int, int] = {}
        for old, fresh in new.items():
            node = self.nodes[old]
            if old in self.cut:
                continue
            node.sources = tuple([new[j] for j in node.sources])
            node.after = tuple([new[j] for j in node.after if j in new])
            node.gate = new.get(node.gate, -1)
            node.settled = new.get(node.settled, -1)
            if node.items >= 0:
                node.chained = node.chained and node.items in self.kept
                node.items = new[node.items]
            if node.lead >= 0:
                node.lead = leads.setdefault(node.lead, new.get(node.lead, fresh))
        return new


def is_outcome(value: object) -> bool:
    """True for how a settled call ended."""
    return type(value) is Outcome


def _called(node: Node) -> str:
    """Returns what users call a node: the key of the call."""
    return node.key.removeprefix("(settled ").removesuffix(")") if node.kind is NodeKind.OUTCOME else node.key


def _given(values: Mapping[str, object], key: str) -> object:
    """Returns the value that is given for a key; for an item also out of the list of its `each`."""
    if key in values:
        return values[key]
    outer, bracket, rest = key.rpartition("[")
    name = rest.removesuffix("]")
    if bracket and rest.endswith("]") and name.isdecimal() and outer in values:
        items: object = values[outer]
        if isinstance(items, (list, tuple)) and int(name) < len(cast("Sequence[object]", items)):
            return cast("Sequence[object]", items)[int(name)]
    return _ABSENT


def _missing(graph: str, missing: Sequence[str], values: Mapping[str, object]) -> PlanError:
    """Returns the error for values that nobody gave."""
    names = ", ".join(map(repr, missing[:5])) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
    near = did_you_mean(missing[0], values)
    return PlanError(
        f"what runs of {graph} also needs the value of {names}{near}: select that too ('*name' takes all that a name"
        f" needs), or give it, .given({{{missing[0]!r}: …}}), for example those of an earlier run:"
        " .given(result.output)"
    )


def _gathered(wiring: Wiring, units: Sequence[Unit]) -> Ref:
    """Adds what makes the value, and returns its reference. A skipped op has no entry."""
    where = wiring.nodes[units[0].node].where
    entries: list[Ref] = []
    for unit in units:
        source = wiring.refs[unit.node]
        name = f"(selected {unit.key.replace('/', '.')})"
        node = Node(NodeKind.STEP, name, fn=_entry, args=(unit.key, source), sources=(source.id,), where=where)
        entries.append(wiring.add(node).ref__)
    sources = tuple([entry.id for entry in entries])
    args: tuple[Any, ...] = ([None, *entries],)  # never a list of skipped ones alone, which would be skipped itself
    node = Node(NodeKind.STEP, "(selected)", fn=_entries, args=args, refs=True, sources=sources, where=where)
    return wiring.add(node).ref__


def _entry(key: str, value: object) -> tuple[str, object]:
    return key, value


def _entries(parts: list[tuple[str, object] | None]) -> dict[str, object]:
    return dict([part for part in parts if part is not None])
