"""Which op is running here: one context variable, set in every op's own copied context."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncflow._limits import Claim

CURRENT: ContextVar[Claim | None] = ContextVar("asyncflow_current_op", default=None)
"""The claim of the op in whose context this is read; None outside of ops. It may have ended already."""
