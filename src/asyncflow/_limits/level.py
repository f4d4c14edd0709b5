"""A level: those of one run priority who wait with one demand. What their cells have in common is kept once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncflow._limits.group import Group
from asyncflow._limits.line import Line

if TYPE_CHECKING:
    from asyncflow._limits.cell import Cell


class Level:
    """One demand and one run priority.

    Attributes:
        priority: The run priority.
        lines: Where its waiters are counted, one for each limit asked for.
        size: How many cells it has.
        plain: By group, the cell of waiters that have nobody to borrow from and are counted.
    """

    __slots__ = ("lines", "plain", "priority", "size")

    def __init__(self, priority: int, lines: list[Line]) -> None:
        self.priority = priority
        self.lines = lines
        self.size = 0
        self.plain: dict[Group, Cell] = {}
        for line in lines:
            line.levels += 1
