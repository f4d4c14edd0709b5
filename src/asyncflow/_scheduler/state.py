"""The states of a node as small numbers, and which may follow which.

    WAITING ──inputs──▶ BLOCKED ──admitted──▶ RUNNING ──▶ SUCCEEDED | FAILED | SKIPPED
       │                 │   ▲                   │  │
       │                 │   └───── RETRYING ◀───┘  │
       ├─▶ SKIPPED | ABANDONED         │            │
       └─▶ CANCELED ◀────┴─────────────┴────────────┘

Inline nodes (steps, gates, collectors) go from WAITING straight to their end. A final state never changes.
"""

from __future__ import annotations

from typing import Final

from asyncflow.errors import AsyncflowError
from asyncflow.results import OpStatus

WAITING: Final = 0
BLOCKED: Final = 1
RUNNING: Final = 2
RETRYING: Final = 3
SUCCEEDED: Final = 4
FAILED: Final = 5
SKIPPED: Final = 6
ABANDONED: Final = 7
CANCELED: Final = 8

STATUS: Final = (
    OpStatus.WAITING,
    OpStatus.BLOCKED,
    OpStatus.RUNNING,
    OpStatus.RETRYING,
    OpStatus.SUCCEEDED,
    OpStatus.FAILED,
    OpStatus.SKIPPED,
    OpStatus.ABANDONED,
    OpStatus.CANCELED,
)

FOLLOWS: Final = (
    frozenset({BLOCKED, RUNNING, SUCCEEDED, FAILED, SKIPPED, ABANDONED, CANCELED}),
    frozenset({RUNNING, FAILED, CANCELED}),
    frozenset({RETRYING, SUCCEEDED, FAILED, SKIPPED, ABANDONED, CANCELED}),
    frozenset({BLOCKED, FAILED, CANCELED}),
    frozenset[int](),
    frozenset[int](),
    frozenset[int](),
    frozenset[int](),
    frozenset[int](),
)
"""For every state, the states that may follow."""


class IllegalTransitionError(AsyncflowError):
    """A node was moved to a state that cannot follow its own: a defect of asyncflow; nothing was changed."""
