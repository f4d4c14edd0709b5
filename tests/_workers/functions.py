"""Functions that run in worker processes; they stand at the top of a module, as they must."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from asyncflow import Retry, context, op, use

REQUEST: ContextVar[str] = ContextVar("request")
OTHER: ContextVar[str] = ContextVar("other")


@op(runs_in="process")
def square(x: int) -> int:
    return x * x


@op(runs_in="process", pool="cpu")
def whoami(x: object) -> int:
    return os.getpid()


@op(runs_in="process")
def marked(path: str, seconds: float) -> str:
    """Says that it began, works, says that it ended."""
    Path(path).write_text(str(os.getpid()))
    time.sleep(seconds)
    Path(path).write_text("done")
    return path


@op(runs_in="process")
def killed(x: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return x


@op(runs_in="process")
def left(code: int) -> int:
    sys.exit(code)


@op(runs_in="process", retry=Retry(max_retries=2))
def killed_once(path: str) -> str:
    file = Path(path)
    if not file.exists():
        file.write_text("tried")
        os.kill(os.getpid(), signal.SIGKILL)
    return file.read_text()


@op(runs_in="process")
def leaks(limit: int) -> int:
    """Takes memory until there is none."""
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    kept: list[bytearray] = []
    try:
        while True:
            kept.append(bytearray(16 << 20))
    except MemoryError:
        os.abort()


class OddError(Exception):
    """Can be pickled and not unpickled."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__(f"{a} and {b}")


@op(runs_in="process")
def raises(what: str) -> int:
    try:
        {}["missing"]
    except KeyError as error:
        if what == "odd":
            raise OddError(1, 2) from error
        if what == "lambda":
            raise ValueError(lambda: 1) from error
        raise ValueError(what) from error


@op(runs_in="process")
def gives(what: str) -> Any:
    return {"lambda": lambda: 1, "big": b"x" * (8 << 20), "open": sys.stdout}[what]


@op(runs_in="process")
def size(content: bytes) -> int:
    return len(content)


@op(runs_in="process")
def about() -> dict[str, Any]:
    own = context()
    own.progress(1, 2)
    own.emit("row", n=3)
    structlog = sys.modules.get("structlog")
    return {
        "key": own.key,
        "run_id": own.run_id,
        "attempt": own.attempt,
        "map_key": own.map_key,
        "tags": dict(own.tags),
        "run_tags": dict(own.run_tags),
        "request": REQUEST.get(""),
        "other": OTHER.get(""),
        "structlog": dict(structlog.contextvars.get_contextvars()) if structlog is not None else {},
    }


async def number():
    yield 7


@op(runs_in="process")
def with_resource(x: int, n: int = use(number)) -> int:
    return x + n


@op(runs_in="process")
def releases() -> None:
    import asyncio

    asyncio.run(context().release("cpu"))


@op(runs_in="process")
def runs_more() -> int:
    import asyncio

    return asyncio.run(square.run(3))


class Model:
    """A class with an op."""

    def __init__(self, factor: int) -> None:
        self.factor = factor

    @op(runs_in="process")
    def scaled(self, x: int) -> int:
        return self.factor * x


def plain(x: int) -> int:
    return x + 1


made = op(runs_in="process")(plain)


@op(runs_in="process", timeout=0.5)
def too_long(path: str) -> str:
    return marked.fn(path, 60)
