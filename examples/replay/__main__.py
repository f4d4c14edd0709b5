"""The command line: `python -m examples.replay WORKFLOW`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from time import perf_counter

from asyncflow import ConfigurationError, DemandError
from examples.replay.bounds import Bounds
from examples.replay.fifo import fifo
from examples.replay.figures import figures, measure
from examples.replay.limits import CAP, Limits, find_tool
from examples.replay.play import Played, play
from examples.replay.workflow import Workflow, load, names
from examples.table import table
from examples.usage import usage

EPILOG = """\
examples:
  python -m examples.replay soykb --max-concurrent 16
  python -m examples.replay 1000genome --max-concurrent 16 --tag-limit individuals=6 --tag-limit '#2=3'
  python -m examples.replay j1206_7
  python -m examples.replay j1206_7 --pool r1=20 --fifo
  python -m examples.replay atacseq --max-concurrent 16 --scale 0.002
  python -m examples.replay 1000genome --copies 20 --max-concurrent 64
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.figures:
        return show_figures()
    if options.list or options.workflow is None:
        show_list()
        return 0
    try:
        workflow = load(options.workflow).copies(options.copies)
        limits = Limits(
            max_concurrent=options.max_concurrent,
            tools={find_tool(workflow, tool): limit for tool, limit in options.tag_limit},
            pools={**workflow.pools, **dict(options.pool)},
        )
        started = perf_counter()
        played = play(workflow, limits, scale=options.scale)
        show(workflow, limits, played, scale=options.scale, took=perf_counter() - started, strict=options.fifo)
    except (ValueError, OSError, ConfigurationError, DemandError) as error:
        parser.error(str(error))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m examples.replay",
        description="Replay a recorded workflow under limits; compare its makespan with its lower bound and with FIFO.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("workflow", nargs="?", help="a recorded workflow, by name or how it begins, or a .json file")
    parser.add_argument("--max-concurrent", type=_count, metavar="N", help="how many tasks run at once")
    parser.add_argument(
        "--tag-limit", type=_limit, metavar="TAG=N", action="append", default=[],
        help="how many tasks of a tool run at once; #1 is the tool with the most work, #2 the next",
    )  # fmt: skip
    parser.add_argument(
        "--pool", type=_limit, metavar="POOL=N", action="append", default=[],
        help="another capacity for a pool of the file",
    )  # fmt: skip
    parser.add_argument("--copies", type=_count, metavar="N", default=1, help="that many of the workflow side by side")
    clock = parser.add_mutually_exclusive_group()
    clock.add_argument("--virtual", action="store_true", help="in virtual time: exact, and done at once (the default)")
    clock.add_argument("--scale", type=_scale, metavar="S", help="in real time, S seconds for each recorded second")
    parser.add_argument("--fifo", action="store_true", help="compare also with a FIFO queue whose head blocks the rest")
    parser.add_argument("--figures", action="store_true", help="replay everything the default order is held to")
    parser.add_argument("--list", action="store_true", help="list the recorded workflows")
    return parser


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return count


def _scale(text: str) -> float:
    scale = float(text)
    if not 0 < scale <= 1000:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return scale


def _limit(text: str) -> tuple[str, int]:
    name, equals, number = text.rpartition("=")
    if not equals or not name or not number.isdigit() or int(number) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a name, '=' and a number of at least 1")
    return name, int(number)


# ── what is shown ─────────────────────────────────────────────────────────────────────────────────────────────────


def show(workflow: Workflow, limits: Limits, played: Played, *, scale: float | None, took: float, strict: bool) -> None:
    """Prints the comparison, and what became of each limit."""
    bounds = Bounds.of(workflow, limits)
    clock = "in virtual time" if scale is None else f"at {scale:g} s for each recorded second"
    print(f"\n{workflow.name}: {len(workflow.tasks):,} tasks, {workflow.work:,.0f} s of work")
    print(f"replayed {clock}, which took {took:.2f} s\n")

    reason = bounds.reason if bounds.reason in bounds.spread else None
    note = "the longest path" if reason is None else f"work / capacity of {_told(reason)}"
    rows = [("lower bound", bounds.lower, note)]
    if workflow.best_known is not None and limits.pools == workflow.pools:
        rows.append(("best known", workflow.best_known, "by anybody, with any method"))
    rows.append(("asyncflow", played.makespan, ""))
    rows.append(("FIFO", fifo(workflow, limits), "what does not fit is passed over"))
    if strict:
        rows.append(("strict FIFO", fifo(workflow, limits, head_blocks=True), "what does not fit blocks all behind it"))
    cells = [[name, f"{seconds:,.1f}", _ratio(seconds, bounds.lower), note] for name, seconds, note in rows]
    print(table(["", "makespan (s)", "over the bound", ""], cells, align="lrrl") + "\n")
    head = ["limit", "capacity", "peak", "in use", "work / capacity (s)", "waited for (s)"]
    print(table(head, _rows(limits, played, bounds, scale)))


def _rows(limits: Limits, played: Played, bounds: Bounds, scale: float | None) -> list[list[str]]:
    """Returns what became of each limit, and the longest path below them."""
    used = usage(played.result)
    rows: list[list[str]] = []
    for name, capacity in limits.capacities.items():
        use = used.get(name)
        share = None if use is None else use.share(capacity, played.result.seconds)
        rows.append([
            _told(name),
            f"{capacity:,}",
            "0" if use is None else f"{use.peak:,}",
            "" if share is None else f"{share:.0%}",
            f"{bounds.spread.get(name, 0.0):,.1f}",
            f"{played.result.waits.get(name, 0.0) / (scale or 1.0):,.1f}",
        ])  # fmt: skip
    return [*rows, ["(longest path)", "", "", "", f"{bounds.longest_path:,.1f}", ""]]


def show_list() -> None:
    """Prints the recorded workflows."""
    rows: list[list[str]] = []
    for name in names():
        workflow = load(name)
        busiest = next(iter(workflow.work_by_tool()), "").rpartition(".")[2]
        pools = ", ".join(f"{pool}={capacity}" for pool, capacity in workflow.pools.items())
        path = Bounds.of(workflow, Limits()).longest_path
        rows.append([name, pools or busiest, f"{len(workflow.tasks)}", f"{workflow.work:,.0f}", f"{path:,.0f}"])
    print(table(["workflow", "pools, or the busiest tool", "tasks", "work (s)", "longest path (s)"], rows, align="llr"))


def show_figures() -> int:
    """Prints every figure the default order is held to; the exit code tells whether all are reached."""
    rows: list[list[str]] = []
    missed = 0
    for figure in figures():
        found = measure(figure)
        missed += not found.reached
        rows.append([
            figure.workflow.name,
            figure.told,
            f"{found.bounds.lower:,.1f}",
            f"{found.makespan:,.1f}",
            f"{found.fifo:,.1f}",
            _ratio(found.makespan, found.bounds.lower),
            f"{figure.reach:,.0f}",
            "reached" if found.reached else f"missed by {found.makespan - figure.reach:,.1f}",
        ])  # fmt: skip
    head = ["workflow", "limits", "bound", "asyncflow", "FIFO", "over the bound", "to reach", ""]
    print(table(head, rows, align="llrrrrrl"))
    return 1 if missed else 0


def _ratio(seconds: float, bound: float) -> str:
    return f"{seconds / bound - 1:+.1%}" if bound and seconds != bound else ""


def _told(limit: str) -> str:
    """Returns a limit's name as people say it."""
    if limit == CAP:
        return "max_concurrent"
    tool = limit.removeprefix("@tag:tool=")
    return limit if tool == limit else f"tool {tool.rpartition('.')[2]}"


if __name__ == "__main__":
    sys.exit(main())
