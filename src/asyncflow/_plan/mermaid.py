"""A plan as a Mermaid flowchart, for README files, issues and pull requests.

Ids are numbers, so no name is ever code; labels are quoted, and written by `escaped`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from asyncflow._plan.drawing import DrawnPlan, draw
from asyncflow._plan.picture import Arrow, Box, Form, Frame, Line, Picture, escaped, shortened

_LABEL: Final = 60
"""Characters of one label."""

_SHAPES: Final = {
    Form.OP: ("(", ")"),
    Form.STEP: ("(", ")"),
    Form.INPUT: ("([", "])"),
    Form.OUTPUT: ("([", "])"),
    Form.GATE: ("{", "}"),
    Form.JOINT: ("([", "])"),
}

_LINES: Final = {Line.DATA: "-->", Line.ORDER: "-.->", Line.GATE: "-->"}

_STYLES: Final = (
    "classDef op fill:#ffffff,stroke:#94a3b8,color:#0f172a",
    "classDef map fill:#ffffff,stroke:#475569,color:#0f172a,stroke-width:2px",
    "classDef step fill:#f8fafc,stroke:#94a3b8,color:#334155,stroke-dasharray:4 3",
    "classDef input fill:#eef2ff,stroke:#818cf8,color:#312e81",
    "classDef output fill:#ecfdf5,stroke:#34d399,color:#064e3b",
    "classDef gate fill:#fffbeb,stroke:#f59e0b,color:#78350f",
    "classDef joint fill:#f1f5f9,stroke:#cbd5e1,color:#475569",
    "classDef frame fill:#f8fafc,stroke:#cbd5e1,color:#64748b,stroke-dasharray:5 4",
    "classDef note fill:#fef2f2,stroke:#f87171,color:#7f1d1d",
)


def mermaid(plan: DrawnPlan) -> str:
    """Returns the plan as a Mermaid flowchart: calls as subgraphs, gates as diamonds, maps with a double border."""
    return "\n".join(_lines(draw(plan))) + "\n"


def _lines(picture: Picture) -> Iterator[str]:
    yield "flowchart TB"
    yield from _framed(picture)
    for arrow in picture.arrows:
        yield f"  {_arrow(arrow)}"
    if len(picture.frames) > 1:
        yield f"  class {','.join(f'f{number}' for number in range(1, len(picture.frames)))} frame"
    if picture.note:
        yield f'  note["{escaped(picture.note, "#")}"]:::note'
    yield from (f"  {style}" for style in _STYLES)


def _framed(picture: Picture) -> Iterator[str]:
    """Gives boxes and subgraphs, each subgraph closed after all that stands in it."""
    boxes: list[list[int]] = [[] for _ in picture.frames]
    inner: list[list[int]] = [[] for _ in picture.frames]
    for number, box in enumerate(picture.boxes):
        boxes[box.frame].append(number)
    for number, frame in enumerate(picture.frames):
        if frame.parent >= 0:
            inner[frame.parent].append(number)
    todo: list[tuple[int, int, bool]] = [(0, 1, True)]
    while todo:
        number, depth, opens = todo.pop()
        pad = "  " * depth
        if not opens:
            yield f"{pad}end"
            continue
        if number:
            frame = picture.frames[number]
            yield f'{pad}subgraph f{number}["{_heading(frame)}"]'
            todo.append((number, depth, False))
        within = pad + "  " if number else pad
        for place in boxes[number]:
            yield f"{within}{_box(place, picture.boxes[place])}"
        todo.extend([(child, depth + 1 if number else depth, True) for child in reversed(inner[number])])


def _box(number: int, box: Box) -> str:
    label = _text(box.label) + _times(box.count)
    if box.detail:
        label += f"<br/>{_text(box.detail)}"
    is_map = box.form is Form.OP and box.count != 1
    opening, closing = ("[[", "]]") if is_map else _SHAPES[box.form]
    return f'n{number}{opening}"{label}"{closing}:::{"map" if is_map else box.form.value}'


def _heading(frame: Frame) -> str:
    limits = f" ({frame.detail})" if frame.detail else ""
    return _text(frame.label) + _times(frame.count) + _text(limits)


def _arrow(arrow: Arrow) -> str:
    label = f"|{_text(arrow.label)}|" if arrow.label else ""
    return f"n{arrow.start} {_LINES[arrow.line]}{label} n{arrow.end}"


def _times(count: int) -> str:
    if count == 1:
        return ""
    return _text(f" × {count}" if count else " × each")


def _text(text: str) -> str:
    return escaped(shortened(text, _LABEL), "#")
