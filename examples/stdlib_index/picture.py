"""A picture of the most imported modules: bars in an SVG of its own, without any library."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

from asyncflow import op
from examples.stdlib_index.ranking import Standing, is_test
from examples.stdlib_index.report import Report

SHOWN: Final = 25
WIDTH, TOP, ROW, BAR, MARGIN = 960, 116, 25, 15, 32
PLACE: Final = WIDTH - MARGIN
TESTS: Final = PLACE - 92
SANS: Final = 'ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
MONO: Final = 'ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace'
STYLE: Final = f"""
  text {{ font-family: {SANS} }}
  .title {{ font-size: 21px; font-weight: 650; fill: #16202b }}
  .note {{ font-size: 13px; fill: #5d6b7a }}
  .name {{ font-family: {MONO}; font-size: 13px; fill: #16202b }}
  .count {{ font-size: 12.5px; font-weight: 600; fill: #16202b }}
  .small {{ font-size: 12px; fill: #5d6b7a }}
  .bar {{ fill: #2f6db5 }}
  .line {{ stroke: #e6ebf0 }}
"""


@op(pool="disk")
def write_picture(report: Report, out: Path) -> None:
    """Writes `most-imported.svg`."""
    (out / "most-imported.svg").write_text(picture(report), encoding="utf-8")


def picture(report: Report) -> str:
    """Returns the SVG."""
    shown = [s for s in report.most_imported if s.importers and not is_test(s.module)][:SHOWN]
    chart = _Chart(shown)
    height = chart.bottom + 66
    totals = report.totals
    counts = (
        f"{totals['modules']:,} source files, {totals['functions']:,} functions,"
        f" {totals['imports']:,} imports between modules"
    )
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}">',
        f"<title>The most imported modules of Python {escape(report.python)}</title>",
        f"<style>{STYLE}</style>",
        f'<rect width="{WIDTH}" height="{height}" rx="10" fill="#ffffff"/>',
        _text("title", MARGIN, 44, f"What the standard library of Python {report.python} rests on"),
        _text("note", MARGIN, 68, "The modules that most others import: how many of the library do, its tests apart"),
        _text("small", TESTS, TOP - 14, "in tests", anchor="end"),
        _text("small", PLACE, TOP - 14, "by PageRank", anchor="end"),
        *chart.scale(),
        *(line for row, standing in enumerate(shown) for line in chart.row(row, standing)),
        _text("small", MARGIN, height - 22, counts),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _text(kind: str, x: float, y: float, words: str, *, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.5g}" y="{y}" text-anchor="{anchor}">{escape(words)}</text>'


class _Chart:
    """The bars: where each begins, how long it is."""

    def __init__(self, shown: Sequence[Standing]) -> None:
        self.most = max((standing.importers for standing in shown), default=0)
        self.left = MARGIN + 10 + max((len(standing.module) for standing in shown), default=0) * 8
        self.width = (TESTS - 112 - self.left) / (self.most or 1)
        self.bottom = TOP + ROW * len(shown)

    def scale(self) -> Iterator[str]:
        """Yields the upright lines behind the bars, at a step of 1, 2 or 5 times a power of ten."""
        steps = (digit * 10**power for power in range(9) for digit in (1, 2, 5))
        step = next(step for step in steps if step * 8 >= self.most)
        for value in range(0, self.most + 1, step):
            x = self.left + value * self.width
            yield f'<line class="line" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 8}" y2="{self.bottom}"/>'
            yield _text("small", x, self.bottom + 17, f"{value:,}", anchor="middle")

    def row(self, number: int, standing: Standing) -> Iterator[str]:
        """Yields one row: name, bar and count, how many tests import it, its place by PageRank."""
        y = TOP + number * ROW
        base = y + BAR - 3
        length = standing.importers * self.width
        yield _text("name", self.left - 10, base, standing.module, anchor="end")
        yield f'<rect class="bar" x="{self.left}" y="{y}" width="{length:.1f}" height="{BAR}" rx="2"/>'
        yield _text("count", self.left + length + 8, base, f"{standing.importers:,}")
        yield _text("small", TESTS, base, f"{standing.tests:,}", anchor="end")
        yield _text("small", PLACE, base, f"{standing.place}", anchor="end")
