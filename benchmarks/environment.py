"""Environment: what this runs on, and how children of it are started."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import os
import platform
from pathlib import Path

import asyncflow

ROOT = Path(__file__).resolve().parents[1]


def described() -> dict[str, str]:
    """Returns what a reader of the figures needs to know."""
    return {
        "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "load": " ".join([f"{load:.1f}" for load in os.getloadavg()]),
        "anyio": importlib.metadata.version("anyio"),
    }


def child_environment(**changes: str) -> dict[str, str]:
    """Returns the environment of a child that imports this asyncflow and these benchmarks."""
    paths = [str(ROOT), str(Path(asyncflow.__file__).parents[1])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONHASHSEED": "0", **changes}
