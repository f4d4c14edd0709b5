"""The command line: `python -m examples.stdlib_index`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import anyio

from asyncflow import RunResult
from examples.stdlib_index.account import account
from examples.stdlib_index.progress import Progress
from examples.stdlib_index.report import Report
from examples.stdlib_index.workflow import build_index, capacities

STAGES = ("read", "parse", "link", "write")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.stdlib_index",
        description="Index the standard library of this Python into SQLite, and rank its modules.",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("out/stdlib-index"), metavar="DIR", help="where the results go"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="index only N files, evenly spread over all")
    parser.add_argument("--plain", action="store_true", help="progress as plain lines, also on a terminal")
    parser.add_argument("--store", metavar="URL", help="keep records of the run: sqlite:///runs.db")
    parser.add_argument("--run-id", metavar="ID", help="the id of the run")
    parser.add_argument("--resume-from", metavar="ID", help="go on with a run that is in the store")
    options = parser.parse_args(arguments)
    if options.limit is not None and options.limit < 1:
        parser.error("--limit must be at least 1")
    if options.resume_from is not None and options.store is None:
        parser.error("--resume-from needs the --store that has the run")
    progress = Progress(sys.stdout, live=sys.stdout.isatty() and not options.plain, stages=STAGES)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(0.001)  # parsing holds the interpreter; this lets the event loop in five times as often
    try:
        result = anyio.run(_index, options, progress)
    except KeyboardInterrupt:
        print("\ninterrupted: every slot is back, the index is not complete", file=sys.stderr)
        return 130
    finally:
        sys.setswitchinterval(interval)
    print("\n" + account(result, capacities()))
    if result.output is None:
        for error in result.errors:
            print(f"\nfailed: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    print("\n" + told(result.output, options.out))
    return 0


async def _index(options: argparse.Namespace, progress: Progress) -> RunResult[Report]:
    return await build_index(
        options.out,
        limit=options.limit,
        observer=progress,
        store=options.store,
        run_id=options.run_id,
        resume_from=options.resume_from,
    )


def told(report: Report, out: Path) -> str:
    """Returns the result in a few lines."""
    totals = report.totals
    counts = (
        f"{totals['modules']:,} source files, {totals['lines']:,} lines, {totals['functions']:,} functions,"
        f" {totals['imports']:,} imports between modules"
    )
    most = ", ".join(f"{standing.module} ({standing.importers:,})" for standing in report.most_imported[:6])
    lines = [
        f"Python {report.python}: {counts}",
        f"most imported: {most}",
        *(f"not parsed: {problem['path']}: {problem['problem']}" for problem in report.problems),
        f"written: {out / 'index.db'}, {out / 'report.json'}, {out / 'most-imported.svg'}",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
