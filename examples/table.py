"""Aligned text tables for terminals."""

from __future__ import annotations

from collections.abc import Sequence


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, align: str = "lr", indent: str = "  ") -> str:
    """Returns rows under a heading. `align` has `l` or `r` for each column; its last letter holds for all that follow.

    >>> print(table(["limit", "peak"], [["db", "1"], ["threads", "12"]]))
      limit    peak
      db          1
      threads    12
    """
    widths = [max(len(cell) for cell in column) for column in zip(head, *rows, strict=True)]
    sides = align + align[-1] * (len(widths) - len(align))
    lines: list[str] = []
    for row in (head, *rows):
        cells = [
            cell.ljust(width) if side == "l" else cell.rjust(width)
            for cell, width, side in zip(row, widths, sides, strict=True)
        ]
        lines.append((indent + "  ".join(cells)).rstrip())
    return "\n".join(lines)
