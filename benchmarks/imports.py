"""Imports: what `import asyncflow` takes beyond the libraries it needs, from compiled files, in fresh processes."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from benchmarks.environment import child_environment
from benchmarks.scale import Scale
from benchmarks.table import Table

CODE = """
import sys, time
began = time.perf_counter()
import anyio, pydantic, structlog
needed = time.perf_counter()
before = set(sys.modules)
import asyncflow
ended = time.perf_counter()
new = set(sys.modules) - before
ours = sum(name.split(".")[0] == "asyncflow" for name in new)
print([needed - began, ended - needed, ours, len(new) - ours])
"""


def measure_imports(scale: Scale) -> Iterator[Table]:
    """Imports in processes, the first of which only compiles."""
    with tempfile.TemporaryDirectory() as folder:
        environment = child_environment(PYTHONPYCACHEPREFIX=folder, PYTHONDONTWRITEBYTECODE="")
        command = [sys.executable, "-c", CODE]
        runs: list[list[float]] = [
            json.loads(subprocess.check_output(command, env=environment))  # noqa: S603 — this very Python
            for _ in range(scale.imports + 1)
        ][1:]
    needed, ours, modules, others = [statistics.median(part) for part in zip(*runs, strict=True)]
    table = Table("import time, compiled, median of fresh processes", (("ms", 1), ("modules", 0)))
    table.add("anyio + pydantic + structlog", needed * 1e3, None)
    table.add("asyncflow beyond them", ours * 1e3, modules)
    table.add("  of which other libraries' modules", None, others)
    yield table
