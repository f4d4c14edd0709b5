"""Tables: what a benchmark found, for people and for machines."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of figures under one title.

    Args:
        title: What was measured.
        columns: Names of the figures, each with how many decimals it is printed with.
        rows: A name, and its figures in the order of the columns; None where a figure makes no sense.
        note: What a reader must know to read it.
    """

    title: str
    columns: tuple[tuple[str, int], ...]
    rows: list[tuple[str, tuple[float | None, ...]]] = field(default_factory=list[Any])
    note: str = ""

    def add(self, name: str, *figures: float | None) -> None:
        """Adds a row."""
        if len(figures) != len(self.columns):
            raise ValueError(f"{self.title}: {name} has {len(figures)} figures for {len(self.columns)} columns")
        self.rows.append((name, figures))

    def lines(self) -> list[str]:
        """Returns the table as text."""
        wide = max([len(name) for name, _ in self.rows], default=0)
        widths = [max(9, len(name) + 2) for name, _ in self.columns]
        head = "".join([f"{name:>{width}}" for (name, _), width in zip(self.columns, widths, strict=True)])
        found = [f"{self.title}", f"  {'':<{wide}}{head}"]
        for name, figures in self.rows:
            cells = [
                f"{'–':>{width}}" if figure is None else f"{figure:>{width},.{decimals}f}"
                for figure, (_, decimals), width in zip(figures, self.columns, widths, strict=True)
            ]
            found.append(f"  {name:<{wide}}{''.join(cells)}")
        if self.note:
            found.append(f"  {self.note}")
        return found

    def as_json(self) -> dict[str, Any]:
        """Returns the table as plain data."""
        names = [name for name, _ in self.columns]
        rows = {name: dict(zip(names, figures, strict=True)) for name, figures in self.rows}
        return {"title": self.title, "rows": rows, "note": self.note}
