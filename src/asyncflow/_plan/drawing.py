"""From a plan to its picture.

A plan has more nodes than a reader wants to see. So

- reading one item or attribute of a result draws nothing: its arrow starts at the op;
- the two gates of one `when` are one diamond, and only what a gate lets in first has an arrow from it;
- a list that nobody reads as a whole draws nothing;
- more than `FOLD` items of one `each` are one stacked box that says how many;
- above `MOST` boxes the rest, in the order of the plan, is counted instead of drawn.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Protocol

from asyncflow._authoring import GraphDefinition, NodeKind, OpDefinition
from asyncflow._plan.node import PlanNode
from asyncflow._plan.picture import MOST, Arrow, Box, Form, Frame, Line, Picture
from asyncflow._plan.scope import Scope
from asyncflow.options import PER_VALUE

FOLD: Final = 6
"""Items of one `each` that are drawn one by one."""

INNER: Final = 3
"""Ops of a repeated part that are named."""

_NAMED: Final = frozenset({NodeKind.OP, NodeKind.MAP, NodeKind.BODY})
"""What is named among the parts of something repeated."""

_JOINTS: Final = {NodeKind.COLLECT: "list", NodeKind.MERGE: "either", NodeKind.OUTCOME: "settled"}
_ITEM: Final = re.compile(r"\[[^\]]*\]")


class DrawnPlan(Protocol):
    """What a picture reads of a plan."""

    @property
    def name(self) -> str:
        """The graph's name."""
        ...

    @property
    def output(self) -> int:
        """The node whose value the run returns, or -1."""
        ...

    @property
    def nodes(self) -> Sequence[PlanNode]:
        """The nodes."""
        ...

    @property
    def scopes(self) -> Sequence[Scope]:
        """The nested calls; the first is the graph itself, and parents come before children."""
        ...


def draw(plan: DrawnPlan) -> Picture:
    """Returns what a picture of `plan` shows."""
    return Drawing(plan).picture()


class Drawing:
    """A picture while it is made: every node is given the box that stands for it, or none."""

    def __init__(self, plan: DrawnPlan) -> None:
        self.nodes = plan.nodes
        self.name = plan.name
        self.output = plan.output
        self.dead = unread_joints(plan)
        self.sizes = Counter((node.kind, template(node.key)) for node in plan.nodes if "[" in node.key)
        self.frames, self.frame_of = frames_of(plan.scopes)
        self.boxes: list[Box] = []
        self.arrows: dict[tuple[int, int], Arrow] = {}
        self.box_of: list[int] = [-1] * len(plan.nodes)
        self.folds: dict[tuple[NodeKind, str], int] = {}
        self.diamonds: dict[tuple[int, ...], int] = {}
        self.left_out = 0

    def picture(self) -> Picture:
        """Draws everything."""
        for node in range(len(self.nodes)):
            self.box_of[node] = self._box_for(node)
        for node in range(len(self.nodes)):
            self._connect(node)
        if self.output >= 0 and self.box_of[self.output] >= 0:
            self.boxes.append(Box(Form.OUTPUT, "result", title="what the run returns"))
            self._arrow(self.box_of[self.output], len(self.boxes) - 1, Line.DATA)
        frames, boxes = without_empty_frames(self.frames, self.boxes)
        return Picture(self.name, boxes, tuple(self.arrows.values()), frames, self.left_out)

    def _box_for(self, number: int) -> int:
        """Finds or makes the box of a node; -1 where it is not drawn."""
        node = self.nodes[number]
        if number in self.dead:
            return -1
        if self._is_seen_through(number):
            return self.box_of[node.sources[0]]
        is_gate = node.kind is NodeKind.GATE
        if is_gate and node.sources in self.diamonds:
            return self.diamonds[node.sources]
        fold = (node.kind, template(node.key))
        if fold in self.folds:
            return self.folds[fold]
        if len(self.boxes) >= MOST:
            self.left_out += 1
            return -1
        number = len(self.boxes)
        count = self.sizes[fold]
        if count > FOLD:
            self.folds[fold] = number
            self.boxes.append(box(node, key=fold[1], frame=self.frame_of[node.scope], count=count))
        else:
            self.boxes.append(box(node, key=node.key, frame=self.frame_of[node.scope], count=1))
        if is_gate:
            self.diamonds[node.sources] = number
        return number

    def _is_seen_through(self, number: int) -> bool:
        node = self.nodes[number]
        if len(node.sources) != 1 or node.after or node.sources[0] >= number:
            return False
        return node.kind in (NodeKind.CAPTURE, NodeKind.RESULT) or (node.kind is NodeKind.STEP and not node.shown)

    def _connect(self, number: int) -> None:
        """Draws the arrows that end at a node."""
        node, end = self.nodes[number], self.box_of[number]
        if end < 0:
            return
        sources = (*node.sources, node.items) if node.items >= 0 else node.sources
        if node.kind is NodeKind.MERGE:
            sources = sources[1:]  # its condition is told by the gate
        for source in sources:
            self._arrow(self.box_of[source], end, Line.DATA)
        for source in node.after:
            self._arrow(self.box_of[source], end, Line.ORDER)
        gate = node.gate
        if gate >= 0 and not any(self.nodes[source].gate == gate for source in (*sources, *node.after)):
            self._arrow(self.box_of[gate], end, Line.GATE, branch(self.nodes[gate]))

    def _arrow(self, start: int, end: int, line: Line, label: str = "") -> None:
        if start >= 0 and start != end:
            self.arrows.setdefault((start, end), Arrow(start, end, line, label))


def unread_joints(plan: DrawnPlan) -> set[int]:
    """Returns the nodes that only join values and that nothing drawn reads."""
    reads = [0] * len(plan.nodes)
    for node in plan.nodes:
        for source in node.predecessors():
            reads[source] += 1
    if plan.output >= 0:
        reads[plan.output] += 1
    unread = [i for i, node in enumerate(plan.nodes) if not reads[i] and is_joint(node)]
    dead: set[int] = set()
    while unread:
        number = unread.pop()
        dead.add(number)
        for source in plan.nodes[number].predecessors():
            reads[source] -= 1
            if not reads[source] and is_joint(plan.nodes[source]):
                unread.append(source)
    return dead


def is_joint(node: PlanNode) -> bool:
    """Says whether a node only passes values on."""
    return not node.shown and node.kind not in (NodeKind.OP, NodeKind.MAP, NodeKind.BODY, NodeKind.INPUT)


def template(key: str) -> str:
    """Returns a key with the names of its items left out: `fetch[17]` is `fetch[]`."""
    return _ITEM.sub("[]", key)


def branch(gate: PlanNode) -> str:
    """Returns which answer a gate lets pass."""
    polarity = gate.args[1] if len(gate.args) > 1 else True
    return "yes" if polarity else "no"


def box(node: PlanNode, *, key: str, frame: int, count: int) -> Box:
    """Returns the box of a node."""
    label = key.rpartition("/")[2]
    match node.kind:
        case NodeKind.OP:
            return Box(Form.OP, label, limits(node.op), key, first_pool(node.op), frame, count)
        case NodeKind.MAP:
            return repeated(node, key=key, frame=frame)
        case NodeKind.BODY:
            return Box(Form.OP, label, when_known(node.graph), key, "", frame, count)
        case NodeKind.INPUT | NodeKind.ITEM:
            return Box(Form.INPUT, label, title=f"input {key}", frame=frame, count=count)
        case NodeKind.GATE:
            return Box(Form.GATE, "when", title=key, frame=frame, count=count)
        case NodeKind.COLLECT | NodeKind.MERGE | NodeKind.OUTCOME:
            return Box(Form.JOINT, _JOINTS[node.kind], title=key, frame=frame, count=count)
        case _:
            form = Form.STEP if node.shown else Form.JOINT
            return Box(form, label, title=key, frame=frame, count=count)


def repeated(node: PlanNode, *, key: str, frame: int) -> Box:
    """Returns the box of a map: its one op, or the names of the first few."""
    inner = [part for part in node.fragment.nodes if part.kind in _NAMED] if node.fragment else []
    if len(inner) == 1 and inner[0].op is not None:
        op = inner[0].op
        return Box(Form.OP, inner[0].key.rpartition("/")[2], limits(op), key, first_pool(op), frame, 0)
    names = [part.key.rpartition("/")[2] for part in inner[:INNER]]
    more = f" + {len(inner) - INNER}" if len(inner) > INNER else ""
    return Box(Form.OP, key.rpartition("/")[2], ", ".join(names) + more, key, "", frame, 0)


def limits(op: OpDefinition | None) -> str:
    """Returns the pools and tags of an op on one line."""
    if op is None:
        return ""
    pool = op.pool
    parts = ["pool by arguments"] if callable(pool) else [f"{name} ×{n}" if n > 1 else name for name, n in pool or ()]
    parts.extend([f"{key}={value}" for key, value in sorted(op.options.tags.items())])
    return ", ".join(parts)


def when_known(graph: GraphDefinition | None) -> str:
    """Returns why nothing is drawn of a graph, and its own limits."""
    if graph is None:
        return ""
    known = "live: known as it runs" if graph.live else "late: wired when its inputs are there"
    own = scope_limits(Scope(None, "", graph.options.max_concurrent, graph.options.tag_concurrency_limits))
    return f"{known}, {own}" if own else known


def first_pool(op: OpDefinition | None) -> str:
    """Returns the pool that gives an op its colour."""
    pool = op.pool if op is not None else ()
    return pool[0][0].partition(":")[0] if pool and not callable(pool) else ""


def scope_limits(scope: Scope) -> str:
    """Returns the limits of a nested call on one line."""
    parts = [] if scope.max_concurrent is None else [f"at most {scope.max_concurrent}"]
    for rule in scope.tag_limits:
        if rule.limit is not None:
            value = "" if rule.value is None else " each" if rule.value is PER_VALUE else f"={rule.value}"
            parts.append(f"{rule.key}{value} at most {rule.limit}")
    return ", ".join(parts)


def frames_of(scopes: Sequence[Scope]) -> tuple[list[Frame], list[int]]:
    """Returns the frames, and the frame of every scope; the calls of more than `FOLD` items share one."""
    sizes = Counter(template(scope.path) for scope in scopes)
    frames: list[Frame] = []
    frame_of: list[int] = []
    folds: dict[str, int] = {}
    for scope in scopes:
        name = template(scope.path)
        count = sizes[name] if "[" in scope.path else 1
        if count > FOLD and name in folds:
            frame_of.append(folds[name])
            continue
        path = name if count > FOLD else scope.path
        folds.setdefault(name, len(frames))
        frame_of.append(len(frames))
        parent = -1 if scope.parent is None else frame_of[scope.parent]
        frames.append(Frame(path.rpartition("/")[2], parent, count if count > FOLD else 1, scope_limits(scope)))
    return frames, frame_of


def without_empty_frames(frames: Sequence[Frame], boxes: Sequence[Box]) -> tuple[tuple[Frame, ...], tuple[Box, ...]]:
    """Returns the frames that have something in them, and the boxes with their frames numbered anew."""
    filled = [number == 0 for number in range(len(frames))]
    for drawn in boxes:
        filled[drawn.frame] = True
    for number in range(len(frames) - 1, 0, -1):
        if filled[number]:
            filled[frames[number].parent] = True
    kept = [number for number in range(len(frames)) if filled[number]]
    anew = {number: place for place, number in enumerate(kept)}
    return (
        tuple([replace(frames[n], parent=anew.get(frames[n].parent, -1)) for n in kept]),
        tuple([replace(drawn, frame=anew[drawn.frame]) for drawn in boxes]),
    )
