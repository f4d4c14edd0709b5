"""The pytest plugin of asyncflow: one test in virtual time.

An async test that anyio runs (marked `anyio`, or `anyio_mode = "auto"`) and that asks for `virtual_time` runs on a
virtual loop, whatever backend the others have:

    async def test_an_hour_passes(virtual_time):
        await anyio.sleep(3600)
        assert virtual_time.now == 3600

A plain test uses `virtual_time.run(fn)`. To put a whole module into virtual time, return `VIRTUAL_TIME` from a fixture
named `anyio_backend`. The environment variable ASYNCFLOW_SEED shuffles the order of tasks; a seed for one test is
`@pytest.mark.virtual_time(seed=7)`, and several are `@pytest.mark.virtual_time(seeds=range(20))`, which runs it once
for each. A failure names its seed.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable
from typing import Any

import pytest

from asyncflow.testing.backend import VirtualTime


def pytest_configure(config: pytest.Config) -> None:
    """Makes the marker known."""
    config.addinivalue_line(
        "markers", "virtual_time(seed=None, seeds=()): the order, or orders, of tasks of a test in virtual time."
    )


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Gives a test that asks for `virtual_time` its backend, once for each seed."""
    if "virtual_time" not in metafunc.fixturenames:
        return
    times = [VirtualTime(seed) for seed in _seeds(metafunc.definition.get_closest_marker("virtual_time"))]
    names = ["virtual" if time.seed is None else f"seed{time.seed}" for time in times]
    is_async = "anyio_backend" in metafunc.fixturenames
    if is_async:
        mark = pytest.mark.parametrize("anyio_backend", times, ids=names)
    elif times[0].seed is None and len(times) == 1:
        return
    else:
        mark = pytest.mark.parametrize("virtual_time", times, ids=names)
    metafunc.definition.add_marker(mark)


def _seeds(mark: pytest.Mark | None) -> list[int | None]:
    options: dict[str, Any] = dict(mark.kwargs) if mark else {}
    several: Iterable[int] = options.pop("seeds", ())
    one: int | None = options.pop("seed", None)
    if options or (mark and mark.args):
        raise pytest.UsageError("the marker virtual_time takes seed= or seeds=, nothing else")
    seeds: list[int | None] = [*several]
    if seeds:
        return seeds
    if one is None and (wanted := os.environ.get("ASYNCFLOW_SEED")):
        one = int(wanted)
    return [one]


@pytest.fixture
def virtual_time(request: pytest.FixtureRequest) -> VirtualTime:
    """Virtual time for this test, and an anyio backend: `.now`, `.seed`, and `.run(fn)` in a plain test."""
    if "anyio_backend" in request.fixturenames:
        backend = request.getfixturevalue("anyio_backend")
        if isinstance(backend, VirtualTime):
            return backend
    return VirtualTime()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Names the seed of a test that failed."""
    report = yield
    arguments: dict[str, object] = getattr(item, "funcargs", {})
    time = arguments.get("virtual_time")
    if report.failed and isinstance(time, VirtualTime) and time.seed is not None:
        report.sections.append(("virtual time", f"seed={time.seed} gives this order of tasks again"))
    return report
