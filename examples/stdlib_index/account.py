"""Where the time of a run went: what ran, the peak of every limit, and what ops waited for."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean, median
from typing import Any

from asyncflow import OpResult, OpStatus, RunResult
from examples.table import table
from examples.usage import usage

BAR = 30
LINE = 40


def account(result: RunResult[Any], capacities: Mapping[str, int]) -> str:
    """Returns the account as text."""
    parts = [
        f"What ran: {len(result.timeline):,} ops in {result.seconds:.1f} s\n" + _stages(result),
        "The limits: the most that was held at once, and how much of each was in use\n" + _limits(result, capacities),
        "Where the time went: the average op of each map, on a line from the start of the run to its end\n"
        + _times(result),
        "What the blocked ops waited for, in seconds summed over ops\n" + _blocked(result),
    ]
    return "\n\n".join(parts)


def stages(result: RunResult[Any]) -> dict[str, list[OpResult]]:
    """Returns the ops of each step by its name: `read[17]` is of `read`. In order of their first start."""
    by_stage: dict[str, list[OpResult]] = {}
    for op in result.timeline:
        by_stage.setdefault(op.key.partition("[")[0], []).append(op)
    for op in result.ops.values():
        if op.started_at is None and op.ready_at is not None:
            by_stage.setdefault(op.key.partition("[")[0], []).append(op)
    return by_stage


def _stages(result: RunResult[Any]) -> str:
    rows: list[list[str]] = []
    for stage, ops in stages(result).items():
        failed = sum(op.status is not OpStatus.SUCCEEDED for op in ops)
        seconds = [op.seconds for op in ops]
        rows.append([
            stage,
            f"{len(ops):,}",
            f"{failed}" if failed else "",
            f"{sum(seconds):,.2f}",
            f"{median(seconds) * 1000:,.1f}",
            f"{max(seconds) * 1000:,.0f}",
        ])  # fmt: skip
    return table(["op", "count", "failed", "running (s)", "median (ms)", "longest (ms)"], rows)


def _limits(result: RunResult[Any], capacities: Mapping[str, int]) -> str:
    rows: list[list[str]] = []
    for name, use in usage(result).items():
        capacity = capacities.get(name)
        share = use.share(capacity, result.seconds)
        cells = ["" if capacity is None else f"{capacity}", f"{use.peak}", "" if share is None else f"{share:.0%}"]
        rows.append([name, *cells])
    return table(["limit", "capacity", "peak", "in use"], rows)


def _times(result: RunResult[Any]) -> str:
    rows: list[list[str]] = []
    for stage, ops in stages(result).items():
        if len(ops) == 1:
            continue
        inputs = fmean((op.ready_at or 0.0) - result.started_at for op in ops)
        blocked = fmean(op.blocked for op in ops)
        running = fmean(op.seconds for op in ops)
        times = (inputs, blocked, running)
        rows.append([stage, *(f"{seconds:,.2f}" for seconds in times), _line(times, result.seconds)])
    head = ["op", "inputs (s)", "blocked (s)", "running (s)", "· for inputs  ▒ blocked  █ running"]
    return table(head, rows, align="lrrrl")


def _line(times: tuple[float, float, float], seconds: float) -> str:
    """Returns times as a line; the last one is always seen."""
    ends = [round(sum(times[: i + 1]) / seconds * LINE) if seconds > 0 else 0 for i in range(3)]
    ran = max(1, ends[2] - ends[1])
    start = min(ends[1], LINE - ran)
    return "·" * min(ends[0], start) + "▒" * (start - min(ends[0], start)) + "█" * ran


def _blocked(result: RunResult[Any]) -> str:
    total = sum(result.waits.values()) or 1.0
    rows: list[list[str]] = []
    for limit, seconds in sorted(result.waits.items(), key=lambda item: -item[1]):
        name = "nothing: it fitted, and others went first" if limit == "order" else limit
        rows.append([name, f"{seconds:,.1f}", f"{seconds / total:.0%}", "█" * round(seconds / total * BAR)])
    return table(["limit", "waited (s)", "", ""], rows, align="lrrl")
