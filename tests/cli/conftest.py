"""A folder with graphs to run, and the command, in this process or in one of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

import pytest

import asyncflow
from asyncflow.cli import main

SOURCE = str(Path(asyncflow.__file__).parents[1])

FLOWS = """
import asyncio, enum, sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from asyncflow import Deployment, Outcome, TagLimit, each, graph, op, RunCanceled

prod = Deployment("prod", concurrency={"pools": {"limits": {"web": 2}}})
paused = Deployment("paused", concurrency={"runs": {"max_concurrent_runs": 0}})
full = Deployment("full", concurrency={"runs": {"max_concurrent_runs": 0, "max_queued": 0}})
branch = prod.branch("feature")
not_a_graph = 3

class Page(BaseModel):
    url: str
    size: int = 0

@dataclass
class Point:
    x: int
    y: int = 0

class Opaque:
    pass

@op(pool="web")
async def fetch(url: str) -> str:
    return f"<{url}>"

@op
def count(page: str, factor: int = 1) -> int:
    return len(page) * factor

@op
async def check(number: int) -> int:
    if number < 0:
        raise ValueError(f"{number} is below zero")
    return number

@graph(max_concurrent=4)
def crawl(urls: list[str], factor: int = 1) -> list[int]:
    return each(count, each(fetch, urls), factor)

@graph
def single(url: str = "a.org") -> int:
    return count(fetch(url))

@graph
def checked(numbers: list[int]) -> list[int]:
    return each(check, numbers)

@graph
def tolerant(number: int) -> Any:
    return check.settled(number)

@graph
def bound(url: str = "a.org") -> str:
    return fetch(url)

bound = bound.on(prod)

@graph
def broken(number: int) -> int:
    return check(1 // number)

class Mute(Exception):
    def __str__(self):
        raise KeyError("no")

class Unspeakable:
    def __repr__(self):
        raise KeyError("no")

@op
async def mute(fails: bool) -> Unspeakable:
    if fails:
        raise Mute
    return Unspeakable()

@graph
def looking(number: int) -> list[int]:
    return [check(i) for i in range(number)]

@graph
def nothing() -> None:
    loud()

@op
async def loud() -> None:
    print("said by an op")

@op
async def opaque() -> Opaque:
    return Opaque()

@op
async def not_a_number() -> float:
    return float("nan")

@op
async def page(page: Page) -> str:
    return type(page).__name__ + page.url

@op
async def leave() -> None:
    raise SystemExit(7)

class Loader:
    @op
    async def load(self, key: str) -> str:
        return key.upper()

loader = Loader()
"""


@dataclass(frozen=True)
class Answer:
    """What a command said."""

    code: int
    out: str
    err: str


Command = Callable[..., Answer]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Path]:
    """The current folder, with `flows.py` in it."""
    (tmp_path / "flows.py").write_text(FLOWS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    known = set(sys.modules)
    for name in ("CI", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    yield tmp_path
    for name in set(sys.modules) - known:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]


@pytest.fixture
def command(folder: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs the command in this process."""

    def run(*arguments: str) -> Answer:
        capsys.readouterr()
        code = main(arguments)
        said = capsys.readouterr()
        return Answer(code, said.out, said.err)

    return run


@pytest.fixture
def environment() -> dict[str, str]:
    """The environment of a command in a process of its own."""
    kept = {name: value for name, value in os.environ.items() if name not in {"CI", "NO_COLOR", "TERM", "COLUMNS"}}
    return {**kept, "PYTHONPATH": SOURCE, "TERM": "xterm-256color", "PYTHONWARNINGS": "error"}


@pytest.fixture
def process(folder: Path, environment: dict[str, str]) -> Command:
    """Runs the command in a process of its own, without a terminal."""

    def run(*arguments: str, stdin: str = "", **more: str) -> Answer:
        done = subprocess.run(
            [sys.executable, "-m", "asyncflow", *arguments], cwd=folder, env={**environment, **more}, input=stdin,
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        return Answer(done.returncode, done.stdout, done.stderr)

    return run
