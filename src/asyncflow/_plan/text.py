"""A plan as lines of text, for terminals and diffs: one line for each box of its picture, calls indented.

A line says what the box is, what limits it, and what it waits for. Names are not trusted more than in the other
pictures: what has no shape of its own, terminal escapes among it, is replaced.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from asyncflow._plan.drawing import DrawnPlan, draw
from asyncflow._plan.picture import Arrow, Box, Form, Line, Picture, shaped, shortened

_LABEL: Final = 60
"""Characters of one name."""

_SOURCES: Final = 6
"""Names that one line lists as what it waits for."""

_MARKS: Final = {Form.OP: "●", Form.STEP: "·", Form.INPUT: "→", Form.OUTPUT: "■", Form.GATE: "◆", Form.JOINT: "○"}


class Row(NamedTuple):
    """One line before its columns are aligned."""

    name: str
    limits: str = ""
    waits: str = ""


def text(plan: DrawnPlan) -> str:
    """Returns the plan as aligned lines of text."""
    picture = draw(plan)
    rows = list(_rows(picture))
    name = max([len(row.name) for row in rows], default=0)
    limits = max([len(row.limits) for row in rows], default=0)
    lines = [_named(picture.heading)]
    lines += [f"{row.name:<{name}}  {row.limits:<{limits}}  {row.waits}".rstrip() for row in rows]
    if picture.note:
        lines.append(f"  {picture.note}")
    return "\n".join(lines) + "\n"


def _rows(picture: Picture) -> Iterator[Row]:
    """Gives a row for each box, those of a nested call below its heading, which stands where its first box would."""
    incoming: list[list[Arrow]] = [[] for _ in picture.boxes]
    for arrow in picture.arrows:
        incoming[arrow.end].append(arrow)
    inside = _inside(picture)
    todo = [(0, 0, iter(inside[0]))]
    while todo:
        frame, depth, rest = todo.pop()
        for is_frame, number in rest:
            pad = "  " * (depth + 1)
            if is_frame:
                called = picture.frames[number]
                yield Row(f"{pad}▾ {_named(called.label)}{_times(called.count)}", _named(called.detail))
                todo += [(frame, depth, rest), (number, depth + 1, iter(inside[number]))]
                break
            box = picture.boxes[number]
            name = f"{pad}{_MARKS[box.form]} {_named(box.label)}{_times(box.count)}"
            yield Row(name, _named(box.detail), _waits(picture, box, incoming[number]))


def _inside(picture: Picture) -> list[list[tuple[bool, int]]]:
    """Returns for every frame its boxes and inner frames, in order of their first box."""
    inside: list[list[tuple[bool, int]]] = [[] for _ in picture.frames]
    placed = {0}
    for number, box in enumerate(picture.boxes):
        path: list[int] = []
        frame = box.frame
        while frame not in placed:
            path.append(frame)
            frame = picture.frames[frame].parent
        for inner in reversed(path):
            inside[picture.frames[inner].parent].append((True, inner))
            placed.add(inner)
        inside[box.frame].append((False, number))
    return inside


def _waits(picture: Picture, box: Box, arrows: list[Arrow]) -> str:
    """Returns what a box waits for: values, then ends, then the gate that lets it run."""
    data = [_called(picture, arrow, box) for arrow in arrows if arrow.line is Line.DATA]
    order = [_called(picture, arrow, box) for arrow in arrows if arrow.line is Line.ORDER]
    gates = [arrow.label for arrow in arrows if arrow.line is Line.GATE]
    parts = [f"← {_listed(data)}"] if data else []
    parts += [f"after {_listed(order)}"] if order else []
    parts += [f"if {_named(label)}" for label in gates]
    return "  ".join(parts)


def _called(picture: Picture, arrow: Arrow, box: Box) -> str:
    """Returns what a box calls another: its name, or its whole key where it stands in another call."""
    start = picture.boxes[arrow.start]
    named_by_key = start.form in (Form.OP, Form.STEP) and start.frame != box.frame
    return _named(start.title if named_by_key else start.label)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SOURCES} more" if len(names) > _SOURCES else ""
    return ", ".join(names[:_SOURCES]) + more


def _times(count: int) -> str:
    if count == 1:
        return ""
    return f" × {count}" if count else " × each"


def _named(name: str) -> str:
    return shaped(shortened(name, _LABEL))
