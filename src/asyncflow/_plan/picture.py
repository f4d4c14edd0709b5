"""What a picture of a plan is made of: boxes, arrows and frames, the same for every format.

Every name passes through `escaped` (in plain text, `shaped`) on its way into a format, and through nothing else. Names
come from users, and from their data where items are named: they may look like markup, carry control characters, or
turn the direction of text.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from enum import Enum
from typing import Final

MOST: Final = 500
"""Boxes in one picture."""

_SAFE: Final = frozenset(" _-.,/()=+:[]×")


class Form(Enum):
    """What a box looks like, and so what it is."""

    OP = "op"
    STEP = "step"
    INPUT = "input"
    OUTPUT = "output"
    GATE = "gate"
    JOINT = "joint"


class Line(Enum):
    """What an arrow looks like, and so what it means."""

    DATA = "data"
    ORDER = "order"
    GATE = "gate"


@dataclass(frozen=True, slots=True)
class Box:
    """One thing drawn. Its names are raw: escape them.

    Args:
        form: What it is.
        label: Its name inside its frame.
        detail: What limits it, or what it repeats, or "".
        title: Its whole key.
        pool: The first pool it takes, or "".
        frame: The frame it stands in.
        count: How many it stands for; 0 where only a run will know.
    """

    form: Form
    label: str
    detail: str = ""
    title: str = ""
    pool: str = ""
    frame: int = 0
    count: int = 1


@dataclass(frozen=True, slots=True)
class Arrow:
    """From one box to another."""

    start: int
    end: int
    line: Line = Line.DATA
    label: str = ""


@dataclass(frozen=True, slots=True)
class Frame:
    """A nested call, or the same one of many items. Frame 0 is the graph itself; parents come before children.

    Args:
        label: Its key inside its parent.
        parent: The frame it stands in, -1 for the graph itself.
        count: How many calls it stands for.
        detail: Its own limits, or "".
    """

    label: str
    parent: int
    count: int = 1
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything drawn, and how many nodes are not."""

    name: str
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    frames: tuple[Frame, ...]
    left_out: int = 0

    @property
    def heading(self) -> str:
        """The graph's name, and its own limits."""
        limits = self.frames[0].detail
        return f"{self.name} ({limits})" if limits else self.name

    @property
    def note(self) -> str:
        """What to say about the rest, or nothing."""
        if not self.left_out:
            return ""
        noun = "node is" if self.left_out == 1 else "nodes are"
        return f"{self.left_out:,} more {noun} not drawn (a picture has at most {MOST} boxes)"


def escaped(text: str, mark: str) -> str:
    """Returns `text`, harmless, for a format that writes a character as `mark`, its number, and `;`.

    Letters, digits and a little punctuation stay; all else becomes its number. What has no shape of its own, controls
    and marks of direction among it, becomes U+FFFD.
    """
    return "".join([char if char.isalnum() or char in _SAFE else f"{mark}{_number(char)};" for char in text])


def shaped(text: str) -> str:
    """Returns `text` for a terminal or a file: what has no shape of its own becomes U+FFFD."""
    return "".join([chr(_number(char)) for char in text])


def _number(char: str) -> int:
    has_shape = unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
    return ord(char) if has_shape else 0xFFFD


def shortened(text: str, most: int) -> str:
    """Returns `text` with its middle left out where it is longer than `most`."""
    if len(text) <= most:
        return text
    front = (most - 1) // 2
    return f"{text[:front]}…{text[len(text) - (most - 1 - front) :]}"
