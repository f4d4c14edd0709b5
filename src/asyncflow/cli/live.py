"""Progress in place, on a terminal: a head line, a row for each op that has something to tell, what is waited for."""

from __future__ import annotations

import sys
from typing import Final

from rich.console import Console, RenderableType
from rich.console import Group as Stack
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from asyncflow.cli.tally import Group, Tally
from asyncflow.cli.terminal import shown

_ROWS: Final = 16
"""Rows of ops at most; fewer where the terminal is lower."""

_AROUND: Final = 6
"""Lines of the terminal that rows leave free."""

_BAR: Final = 24
_NAME: Final = 36
SHOW_CURSOR: Final = "\x1b[?25h"


class InPlace:
    """Shows a run in place, ten times a second.

    Args:
        console: The terminal.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._spinner = Spinner("dots", style="cyan")
        self._live = Live(
            console=console,
            auto_refresh=False,
            redirect_stdout=sys.stdout.isatty(),  # what ops print goes above; into a file it goes as it is
            redirect_stderr=True,
            vertical_overflow="crop",
        )

    def pause(self, seconds: float) -> float:  # noqa: ARG002 — the same all the time
        """Returns a tenth of a second."""
        return 0.1

    def show(self, tally: Tally, seconds: float) -> None:
        """Draws where a run stands."""
        if not self._live.is_started:
            self._live.start()
        self._live.update(self._drawn(tally, seconds, over=False), refresh=True)

    def close(self, tally: Tally, seconds: float) -> None:
        """Draws the last state, where there was one before, and gives the terminal back."""
        if self._live.is_started:
            self._live.update(self._drawn(tally, seconds, over=True), refresh=True)
            self._live.stop()
            return
        for notice in tally.notices:  # it was over before anything was drawn
            self._console.print(Text(f"note: {shown(notice)}", style="yellow"))

    def _drawn(self, tally: Tally, seconds: float, *, over: bool) -> RenderableType:
        totals = tally.totals()
        rows = chosen(tally, most=max(1, min(_ROWS, self._console.height - _AROUND)))
        table = Table.grid(padding=(0, 1, 0, 0))
        table.add_column(width=2)
        table.add_column(no_wrap=True, overflow="ellipsis", max_width=_NAME)
        table.add_column(width=min(_BAR, max(6, self._console.width // 4)))
        table.add_column(justify="right", no_wrap=True)
        table.add_column(no_wrap=True, overflow="ellipsis")
        for group in rows:
            total = totals[group.name]
            table.add_row(
                _mark(group, total, over=over),
                Text(shown(group.name), style="dim" if not group.seen else ""),
                _bar(group.ended, total, failed=group.failed),
                Text(_counted(group, total), style="dim" if not group.seen else ""),
                _state(group, over=over),
            )
        parts: list[RenderableType] = [self._head(tally, sum(totals.values()), seconds, over=over), table]
        left = len(tally.groups) - len(rows)
        if left:
            parts.append(Text(f"   and {left} more", style="dim"))
        if not over and (foot := _foot(tally)) is not None:
            parts.append(foot)
        notices = tally.notices if over else tally.notices[-1:]
        parts += [Text(f"   note: {shown(notice)}", style="yellow") for notice in notices]
        return Stack(*parts)

    def _head(self, tally: Tally, total: int, seconds: float, *, over: bool) -> RenderableType:
        head = Table.grid(padding=(0, 1, 0, 0))
        known = f"{total:,}+" if tally.grows and not over else f"{total:,}"
        counted = Text(f"{tally.ended:,} of {known} ops", style="dim")
        if tally.queued:
            why = ", ".join(map(shown, tally.queued_by))
            counted = Text("queued" + (f" for {why}" if why else ""), style="yellow")
        mark = Text(" ") if over else self._spinner.render(self._console.get_time())
        cells = [mark, Text(shown(tally.graph), style="bold"), Text(clock(seconds), style="cyan"), counted]
        if tally.canceling and not over:
            cells.append(Text(tally.canceling, style="yellow"))
        head.add_row(*cells)
        return head


def chosen(tally: Tally, *, most: int) -> list[Group]:
    """Returns the rows there is room for: those that run, then what has begun, then the rest; in order of the plan."""
    groups = list(tally.groups.values())
    if len(groups) <= most:
        return groups
    by_interest = sorted(range(len(groups)), key=lambda i: (not groups[i].running, not groups[i].seen, i))
    return [groups[i] for i in sorted(by_interest[:most])]


def clock(seconds: float) -> str:
    """Returns a span of time for people: `3.2 s`, `4:05`, `2:03:10`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _mark(group: Group, total: int, *, over: bool) -> Text:
    if group.failed:
        return Text(" ✘", style="red")
    if group.running:
        return Text(" ●", style="cyan")
    if group.stopped:
        return Text(" ■", style="yellow")
    if total and group.ended >= total:
        return Text(" ✔", style="green")
    if over:
        return Text(" –", style="dim")
    return Text(" ○", style="dim" if not group.seen else "yellow")


def _bar(ended: int, total: int, *, failed: int) -> ProgressBar:
    style = "red" if failed else "cyan"
    return ProgressBar(
        total=max(1, total),
        completed=ended,
        style="bright_black",
        complete_style=style,
        finished_style="red" if failed else "green",
    )


def _counted(group: Group, total: int) -> str:
    return f"{group.ended:,}/{total:,}" if total else "…"


def _state(group: Group, *, over: bool) -> Text:
    waiting = 0 if over else group.seen - group.ended - group.running
    text = Text()
    parts = [(group.running, "running", "cyan"), (waiting, "blocked", "yellow"), (group.failed, "failed", "red")]
    for count, word, style in parts:
        if count > 0:
            text.append("  " if text else "")
            text.append(f"{count:,} {word}", style=style)
    return text


def _foot(tally: Tally) -> Text | None:
    """Returns what blocked ops wait for."""
    limits = tally.short_of()
    if not limits:
        return None
    told = " · ".join([f"{shown(limit)} {count:,}" for limit, count in limits[:5]])
    return Text(f"   waiting for {told}", style="dim", no_wrap=True, overflow="ellipsis")
