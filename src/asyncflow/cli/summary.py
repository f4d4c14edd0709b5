"""How a run ended: a few lines for people on stderr, one JSON document for programs on stdout."""

from __future__ import annotations

import json
import traceback
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from pydantic_core import PydanticSerializationError, to_json
from rich.console import Console
from rich.pretty import pretty_repr
from rich.text import Text

from asyncflow.cli.live import clock
from asyncflow.cli.terminal import message_of, shown
from asyncflow.results import OpResult, OpStatus, RunResult, RunStatus

_FAILURES: Final = 5
"""Failures that are told one by one."""

_REPR: Final = 500
"""Characters of the `repr` of an output that is no JSON."""

_MARKS: Final = {
    RunStatus.SUCCEEDED: ("✔", "green"),
    RunStatus.FAILED: ("✘", "red"),
    RunStatus.CANCELED: ("■", "yellow"),
}


def tell(console: Console, result: RunResult[Any], *, with_traceback: bool) -> None:
    """Tells people how a run ended, what failed, and what it waited for."""
    mark, style = _MARKS[result.status]
    ended = f"{result.status.value} {'in' if result.status is RunStatus.SUCCEEDED else 'after'} {clock(result.seconds)}"
    reason = f" by {shown(result.reason)}" if result.reason and result.status is RunStatus.CANCELED else ""
    head = Text.assemble((f"{mark} ", style), (shown(result.graph), "bold"), " ", (ended + reason, style))
    head.append(f" · {_counts(result)}", style="dim")
    console.print(head)
    waits = sorted(result.waits.items(), key=lambda wait: -wait[1])
    told = [f"{shown(limit)} {clock(seconds)}" for limit, seconds in waits[:5] if seconds >= 0.05]
    if told:
        console.print(Text(f"  waited for {' · '.join(told)}", style="dim"))
    failed = _failed(result)
    for op in failed[:_FAILURES]:
        _tell_failure(console, op, with_traceback=with_traceback)
    if len(failed) > _FAILURES:
        console.print(Text(f"  and {len(failed) - _FAILURES} more", style="dim"))
    if failed and not with_traceback:
        console.print(Text("  --traceback shows where they were raised", style="dim"))


def _tell_failure(console: Console, op: OpResult, *, with_traceback: bool) -> None:
    error = op.error
    attempts = f" (attempt {op.attempts})" if op.attempts > 1 else ""
    line = Text.assemble("  ", (shown(op.key), "bold"), f"  {type(error).__name__}", attempts)
    message = message_of(error)
    console.print(line.append(f": {message}" if message else ""))
    if with_traceback and error is not None:
        console.print(Text("".join(traceback.format_exception(error)).rstrip()))


def _counts(result: RunResult[Any]) -> str:
    """Returns how many ops ended how."""
    counts = Counter([op.status for op in result.ops.values()])
    total = f"{len(result.ops):,} {'op' if len(result.ops) == 1 else 'ops'}"
    others = [
        f"{count:,} {status.value.lower()}"
        for status, count in sorted(counts.items(), key=lambda pair: pair[0].value)
        if status is not OpStatus.SUCCEEDED
    ]
    return ", ".join([total, *others])


def _failed(result: RunResult[Any]) -> list[OpResult]:
    """Returns the ops whose failures count, in the order in which they failed; tolerated ones are data."""
    counting = {id(error): i for i, error in enumerate(result.errors)}
    failed = [op for op in result.ops.values() if op.status is OpStatus.FAILED and id(op.error) in counting]
    return sorted(failed, key=lambda op: counting[id(op.error)])


def written_output(output: object, *, width: int) -> str:
    """Returns an output for people: text as it is, nothing for None, anything else as Python writes it."""
    if output is None:
        return ""
    if isinstance(output, str):
        return output if output.endswith("\n") else f"{output}\n"
    return pretty_repr(output, max_width=width) + "\n"


def written_json(document: Mapping[str, Any]) -> str:
    """Returns one JSON document, readable by any parser."""
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def as_document(result: RunResult[Any]) -> dict[str, Any]:
    """Returns a result as JSON has it. An output that is no JSON is null, with its beginning as `output_repr`."""
    document: dict[str, Any] = {
        "run_id": result.run_id,
        "graph": result.graph,
        "status": result.status.value,
        "reason": result.reason,
        "seconds": result.seconds,
        "queued": result.queued,
        "output": None,
        "errors": [{"op": op.key, **_error(op)} for op in _failed(result)],
        "ops": {key: _op(op) for key, op in result.ops.items()},
        "waits": dict(result.waits),
    }
    try:
        document["output"] = json.loads(to_json(result.output, inf_nan_mode="strings", bytes_mode="base64"))
    except (PydanticSerializationError, ValueError, RecursionError):
        document["output_repr"] = shown(pretty_repr(result.output, max_length=20, max_string=_REPR)[:_REPR])
    return document


def _op(op: OpResult) -> dict[str, Any]:
    document: dict[str, Any] = {
        "status": op.status.value,
        "attempts": op.attempts,
        "seconds": op.seconds,
        "blocked": op.blocked,
        "waits": dict(op.waits),
    }
    if op.error is not None:
        document["error"] = _error(op)
    if op.cause is not None:
        document["cause"] = op.cause
    return document


def _error(op: OpResult) -> dict[str, Any]:
    return {"type": type(op.error).__name__, "message": message_of(op.error)}
