"""A plan as an SVG drawing, for notebooks and reports.

Plain shapes and text: no script, no style sheet, no link and no id, so that it may stand in any page, beside others.
All text is written by `escaped`; the whole key of a box is its tooltip.
"""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final

from asyncflow._plan.drawing import DrawnPlan, draw
from asyncflow._plan.layout import Layout, Point, Size, arrange
from asyncflow._plan.picture import Arrow, Box, Form, Frame, Line, Picture, escaped, shortened

FONT: Final = "ui-sans-serif,system-ui,-apple-system,Segoe UI,Roboto,Helvetica,Arial,sans-serif"
LABEL: Final = 34
"""Characters of one label."""

STACK: Final = 5.0
HEAD: Final = 34.0
_POOLS: Final = ("#6366f1", "#0ea5e9", "#10b981", "#f59e0b", "#ef4444", "#a855f7", "#14b8a6", "#ec4899")
_FILLS: Final = {
    Form.OP: ("#ffffff", "#cbd5e1", "#0f172a"),
    Form.STEP: ("#f8fafc", "#cbd5e1", "#334155"),
    Form.INPUT: ("#eef2ff", "#a5b4fc", "#3730a3"),
    Form.OUTPUT: ("#ecfdf5", "#6ee7b7", "#065f46"),
    Form.GATE: ("#fffbeb", "#fbbf24", "#92400e"),
    Form.JOINT: ("#f1f5f9", "#cbd5e1", "#475569"),
}
_WIDE: Final = frozenset("mwMWABCDEFGHKNOQRUVXYZ@%#—…×&+=_<>")
_THIN: Final = frozenset("iljtfr.,:;|!'()[] -/")


def svg(plan: DrawnPlan) -> str:
    """Returns the plan as an SVG drawing: calls as frames, gates as diamonds, maps as stacks, pools as colours."""
    picture = draw(plan)
    sizes = [size_of(box) for box in picture.boxes]
    layout = arrange(
        sizes,
        [box.frame for box in picture.boxes],
        [frame.parent for frame in picture.frames],
        [text_width(heading_of(frame), 13) for frame in picture.frames],
        [(arrow.start, arrow.end) for arrow in picture.arrows],
    )
    inside = layout.frame_sizes[0]
    heading = shortened(picture.heading, 2 * LABEL)
    width = max(inside.width, text_width(heading, 17) + 40, text_width(picture.note, 12) + 40)
    height = inside.height + HEAD + (26 if picture.note else 0)
    left = (width - inside.width) / 2
    return "".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}"',
            f' viewBox="0 0 {width:.0f} {height:.0f}" font-family="{FONT}" role="img">',
            f"<title>{_text(picture.name)}</title>",
            f'<rect width="{width:.0f}" height="{height:.0f}" rx="10" fill="#fdfdfe" stroke="#e2e8f0"/>',
            _words(heading, Point(16, 24), 15, "#0f172a", anchor="start", weight=600),
            f'<g transform="translate({left:.1f} {HEAD - 8:.0f})">',
            *_body(picture, layout, sizes),
            "</g>",
            _words(picture.note, Point(16, height - 12), 12, "#b91c1c", anchor="start") if picture.note else "",
            "</svg>",
        ]
    )


def size_of(box: Box) -> Size:
    """Returns the room that a box needs."""
    width = text_width(shortened(label_of(box), LABEL), 13)
    match box.form:
        case Form.GATE:
            return Size(width + 50, 46)
        case Form.JOINT:
            return Size(width + 18, 22)
        case Form.INPUT | Form.OUTPUT:
            return Size(width + 30, 30)
        case _:
            width = max(width, text_width(shortened(box.detail, LABEL), 11))
            stack = STACK * 2 if box.count != 1 else 0
            width += 44 if box.pool else 36
            return Size(max(width, 80) + stack, (50 if box.detail else 36) + stack)


def label_of(box: Box | Frame) -> str:
    """Returns a name and how many it stands for."""
    if box.count == 1:
        return box.label
    return f"{box.label} × {box.count}" if box.count else f"{box.label} × each"


def heading_of(frame: Frame) -> str:
    """Returns the name of a frame, and its own limits."""
    limits = f" ({frame.detail})" if frame.detail else ""
    return shortened(label_of(frame) + limits, LABEL)


def text_width(text: str, size: float) -> float:
    """Returns about how wide a text is; fonts differ, boxes have room to spare."""
    width = 0.0
    for char in text:
        if unicodedata.east_asian_width(char) in "WF":
            width += 1.05
        elif char in _WIDE:
            width += 0.76
        else:
            width += 0.36 if char in _THIN else 0.58
    return width * size


def _body(picture: Picture, layout: Layout, sizes: Sequence[Size]) -> Iterator[str]:
    pools = dict.fromkeys([box.pool for box in picture.boxes if box.pool])
    colours = {pool: _POOLS[number % len(_POOLS)] for number, pool in enumerate(pools)}
    for number, frame in enumerate(picture.frames):
        if number:
            yield _frame(frame, layout.frames[number], layout.frame_sizes[number])
    for number, arrow in enumerate(picture.arrows):
        yield _arrow(arrow, layout, sizes, layout.ways[number])
    for number, box in enumerate(picture.boxes):
        yield _box(box, layout.boxes[number], sizes[number], colours.get(box.pool, ""))


def _frame(frame: Frame, corner: Point, size: Size) -> str:
    return "".join(
        [
            _rect(corner, size, 10, "#f8fafc", "#cbd5e1", dashes="5 4"),
            _words(
                heading_of(frame),
                Point(corner.x + 12, corner.y + 20),
                12,
                "#64748b",
                anchor="start",
                weight=600,
            ),
        ]
    )


def _box(box: Box, corner: Point, size: Size, colour: str) -> str:
    fill, stroke, ink = _FILLS[box.form]
    middle = Point(corner.x + size.width / 2, corner.y + size.height / 2)
    parts = [f"<g><title>{_text(box.title or box.label)}</title>"]
    match box.form:
        case Form.GATE:
            points = (
                f"{middle.x:.1f},{corner.y:.1f} {corner.x + size.width:.1f},{middle.y:.1f}"
                f" {middle.x:.1f},{corner.y + size.height:.1f} {corner.x:.1f},{middle.y:.1f}"
            )
            parts.append(f'<polygon points="{points}" fill="{fill}" stroke="{stroke}" stroke-width="1.3"/>')
        case Form.OP | Form.STEP:
            stacked = STACK * 2 if box.count != 1 else 0.0
            face = Size(size.width - stacked, size.height - stacked)
            if stacked:
                parts.append(_rect(Point(corner.x + STACK * 2, corner.y + STACK * 2), face, 8, fill, stroke))
                parts.append(_rect(Point(corner.x + STACK, corner.y + STACK), face, 8, fill, stroke))
            dashes = "4 3" if box.form is Form.STEP else ""
            parts.append(_rect(corner, face, 8, fill, stroke, dashes=dashes))
            if colour:
                bar = Size(4, face.height - 14)
                parts.append(_rect(Point(corner.x + 7, corner.y + 7), bar, 2, colour, colour))
            middle = Point(corner.x + face.width / 2 + (3 if colour else 0), corner.y + face.height / 2)
        case _:
            parts.append(_rect(corner, size, size.height / 2, fill, stroke))
    parts.extend(_label(box, middle, ink))
    parts.append("</g>")
    return "".join(parts)


def _label(box: Box, middle: Point, ink: str) -> Iterator[str]:
    size = 11 if box.form is Form.JOINT else 13
    weight = 600 if box.form is Form.OP else 400
    label = shortened(label_of(box), LABEL)
    if not box.detail:
        yield _words(label, Point(middle.x, middle.y + size * 0.36), size, ink, weight=weight)
        return
    yield _words(label, Point(middle.x, middle.y - 3), size, ink, weight=weight)
    yield _words(shortened(box.detail, LABEL), Point(middle.x, middle.y + 13), 11, "#64748b")


def _arrow(arrow: Arrow, layout: Layout, sizes: Sequence[Size], way: Sequence[Point]) -> str:
    start, end = layout.boxes[arrow.start], layout.boxes[arrow.end]
    down = start.y < end.y
    first = Point(start.x + sizes[arrow.start].width / 2, start.y + (sizes[arrow.start].height if down else 0))
    last = Point(end.x + sizes[arrow.end].width / 2, end.y - 1 if down else end.y + sizes[arrow.end].height + 1)
    tip = -7.0 if down else 7.0
    points = [first, *way, Point(last.x, last.y + tip)]
    path = [f"M{first.x:.1f} {first.y:.1f}"]
    for a, b in itertools.pairwise(points):
        half = (a.y + b.y) / 2
        path.append(f"C{a.x:.1f} {half:.1f} {b.x:.1f} {half:.1f} {b.x:.1f} {b.y:.1f}")
    colour = "#f59e0b" if arrow.line is Line.GATE else "#94a3b8"
    dashes = ' stroke-dasharray="4 4"' if arrow.line is Line.ORDER else ""
    head = (
        f"{last.x:.1f},{last.y:.1f} {last.x - 4:.1f},{last.y + tip * 1.1:.1f} {last.x + 4:.1f},{last.y + tip * 1.1:.1f}"
    )
    label = ""
    if arrow.label:
        aside = 5 if points[1].x >= first.x else -5
        near = Point((first.x + points[1].x) / 2 + aside, (first.y + points[1].y) / 2)
        label = _words(arrow.label, near, 11, "#92400e", anchor="start" if aside > 0 else "end")
    return (
        f'<path d="{"".join(path)}" fill="none" stroke="{colour}" stroke-width="1.4"{dashes}/>'
        f'<polygon points="{head}" fill="{colour}"/>{label}'
    )


def _rect(corner: Point, size: Size, radius: float, fill: str, stroke: str, *, dashes: str = "") -> str:
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return (
        f'<rect x="{corner.x:.1f}" y="{corner.y:.1f}" width="{size.width:.1f}" height="{size.height:.1f}"'
        f' rx="{radius:g}" fill="{fill}" stroke="{stroke}"{dashed}/>'
    )


def _words(text: str, at: Point, size: float, ink: str, *, anchor: str = "middle", weight: int = 400) -> str:
    return (
        f'<text x="{at.x:.1f}" y="{at.y:.1f}" font-size="{size:g}" fill="{ink}" text-anchor="{anchor}"'
        f' font-weight="{weight}">{_text(text)}</text>'
    )


def _text(text: str) -> str:
    return escaped(text, "&#")
