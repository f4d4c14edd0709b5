"""What `Deployment(store=…)` says: `"memory"`, or a file as `"sqlite:///runs.db"`.

As with pools, three slashes and a path: `sqlite:///runs.db` is relative, `sqlite:////var/lib/runs.db` is not. Behind
a `?` stands what is set on it: `?keep_days=30`.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote

from asyncflow._store.entry import RunStore
from asyncflow._store.memory import MemoryRuns
from asyncflow._store.sqlite import SQLiteRuns
from asyncflow.errors import ConfigurationError, did_you_mean

_SCHEME: Final = "sqlite:///"
_SETTINGS: Final = ("keep_days",)


def store_of(value: object) -> RunStore | None:
    """Returns the store that is asked for, not open yet; None where there is none.

    Raises:
        ConfigurationError: for something it cannot mean.
    """
    if value is None:
        return None
    if not isinstance(value, str):
        raise ConfigurationError(f"store must be 'memory' or 'sqlite:///path', not {type(value).__name__}")
    if value == "memory":
        return MemoryRuns()
    if not value.startswith(_SCHEME):
        near = did_you_mean(value, ["memory"])
        raise ConfigurationError(f"store must be 'memory' or 'sqlite:///path', got {value!r:.60}{near}")
    path, _, query = value.removeprefix(_SCHEME).partition("?")
    path = unquote(path)
    if not path or path.startswith(":") or "\0" in path:
        raise ConfigurationError(f"store {value!r:.60} names no file; write 'sqlite:///runs.db', or 'memory'")
    return SQLiteRuns(Path(path).absolute(), keep_days=_keep_days(value, query))


def _keep_days(store: str, query: str) -> float | None:
    days: float | None = None
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in _SETTINGS:
            near = did_you_mean(name, _SETTINGS)
            raise ConfigurationError(f"store {store!r:.60}: {name!r:.40} cannot be set{near}; known is keep_days")
        try:
            days = float(value)
        except ValueError:
            days = math.nan
        if not (days > 0 and math.isfinite(days)):
            raise ConfigurationError(f"store {store!r:.60}: keep_days must be a number above 0, got {value!r:.40}")
    return days
