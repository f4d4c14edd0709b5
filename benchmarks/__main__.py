"""`python -m benchmarks`: asyncflow beside the same work by hand, in one run, in turns. Ratios count, not times."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.core import measure_core
from benchmarks.diamond import measure_diamond
from benchmarks.environment import described
from benchmarks.graphs import measure_crowds, measure_graphs
from benchmarks.imports import measure_imports
from benchmarks.memory import measure_memory
from benchmarks.million import measure_million
from benchmarks.rounds import Clock
from benchmarks.scale import FULL, QUICK, Scale
from benchmarks.stream import measure_stream
from benchmarks.table import Table
from benchmarks.wiring import measure_wiring

ALL: dict[str, Callable[[Scale], Iterator[Table]]] = {
    "graphs": measure_graphs,
    "crowds": measure_crowds,
    "diamond": measure_diamond,
    "wiring": measure_wiring,
    "core": measure_core,
    "memory": measure_memory,
    "imports": measure_imports,
    "million": measure_million,
    "stream": measure_stream,
}
LONG = frozenset({"million", "stream"})
"""Only run when asked for by name."""


def run(names: Sequence[str], scale: Scale) -> dict[str, list[dict[str, Any]]]:
    """Runs benchmarks, prints their tables as they come, and returns them as plain data."""
    found: dict[str, list[dict[str, Any]]] = {}
    for name in names:
        tables = found[name] = []
        for table in ALL[name](scale):
            print("\n" + "\n".join(table.lines()), flush=True)
            tables.append(table.as_json())
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(ALL), metavar="NAME", help=f"some of: {', '.join(ALL)}")
    parser.add_argument("--quick", action="store_true", help="small sizes: to see that everything runs, not to compare")
    parser.add_argument("--rounds", type=int, help="how often everything is measured")
    parser.add_argument("--gc", action="store_true", help="leave the garbage collector on while measuring")
    parser.add_argument("--wall", action="store_true", help="read wall time instead of the process's CPU time")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    options = parser.parse_args(arguments)
    scale = replace(QUICK if options.quick else FULL, clock=Clock(gc_on=options.gc, wall=options.wall))
    if options.rounds is not None:
        scale = replace(scale, rounds=max(1, options.rounds))
    names: list[str] = options.only or [name for name in ALL if name not in LONG]
    about = {**described(), "scale": "quick" if options.quick else "full", "rounds": str(scale.rounds)}
    about["garbage collector"] = "on" if options.gc else "off while measuring"
    about["clock"] = "wall" if options.wall else "CPU of this process"
    print(", ".join([f"{name} {said}" for name, said in about.items()]))
    found = run(names, scale)
    if options.json is not None:
        options.json.write_text(json.dumps({"about": about, "tables": found}, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
