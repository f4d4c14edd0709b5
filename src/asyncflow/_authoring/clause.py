"""Clauses of a selection: a name, and how far to go from it against and along the dependencies.

| written | selects |
|---|---|
| `a` | a |
| `+a`, `++a` | a, and one layer, two layers before it |
| `a+`, `a++` | a, and one layer, two layers behind it |
| `*a`, `a*` | a, and everything before it, behind it |
| `*` | everything |

A clause is data of whoever runs a graph, so it is parsed, never evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, cast

from asyncflow.errors import ConfigurationError

_WRITTEN: Final = re.compile(r"(\*|\+*)([^*+\s](?:[^*+]*[^*+\s])?)(\*|\+*)")


@dataclass(frozen=True, slots=True)
class Clause:
    """One clause.

    Args:
        name: The name it starts from; empty for everything.
        before: How many layers against the dependencies; None for all.
        behind: How many layers along them; None for all.
    """

    name: str
    before: int | None = 0
    behind: int | None = 0


def parse_clauses(written: Iterable[object]) -> tuple[Clause, ...]:
    """Returns the clauses of a selection, lists among them taken apart.

    Raises:
        ConfigurationError: for something that is no clause, or none at all.
    """
    clauses: list[Clause] = []
    for one in written:
        if isinstance(one, str):
            clauses.append(_clause(one))
        elif isinstance(one, Iterable) and not isinstance(one, (bytes, bytearray)):
            clauses.extend(parse_clauses(cast("Iterable[object]", one)))
        else:
            raise ConfigurationError(f"select(…) takes names such as 'a', '*a', 'a+', not {type(one).__name__}")
    if not clauses:
        raise ConfigurationError("select(…) needs a name, such as 'a', '*a' (with all before it), 'a+' (one layer on)")
    return tuple(clauses)


def _clause(written: str) -> Clause:
    if written.strip() == "*":
        return Clause("", None, None)
    parts = _WRITTEN.fullmatch(written.strip())
    if parts is None:
        raise ConfigurationError(
            f"{written!r:.60} is no clause of a selection: write a name, with '*' (all) or '+' (one layer, '++' two)"
            " before it for what it needs, behind it for what needs it"
        )
    before, name, behind = parts.groups()
    return Clause(name, _layers(before), _layers(behind))


def _layers(sign: str) -> int | None:
    return None if sign == "*" else len(sign)
