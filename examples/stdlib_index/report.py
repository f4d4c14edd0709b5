"""What came out, as one record and as JSON. The same library gives the same bytes."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from asyncflow import op
from examples.stdlib_index.ranking import Standing

SHOWN = 100


@dataclass(frozen=True, slots=True)
class Report:
    """The result of the job.

    Args:
        python: The version of the Python that was indexed.
        totals: How much there is of everything.
        problems: The files that could not be parsed, and why.
        most_imported: The modules that most others import, in order.
    """

    python: str
    totals: Mapping[str, int]
    problems: Sequence[Mapping[str, str]]
    most_imported: Sequence[Standing]


@op
def compile_report(
    totals: Mapping[str, int], problems: Sequence[Mapping[str, str]], standings: Sequence[Standing]
) -> Report:
    """Returns the report."""
    return Report(platform.python_version(), totals, problems, standings[:SHOWN])


@op(pool="disk")
def write_json(report: Report, out: Path) -> None:
    """Writes `report.json`."""
    (out / "report.json").write_text(json.dumps(asdict(report), indent=1) + "\n", encoding="utf-8")
