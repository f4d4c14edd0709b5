"""The wiring that is going on, if any. A context variable, so that threads and tasks never see each other's."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncflow._authoring.wiring import Wiring

CURRENT: ContextVar[Wiring | None] = ContextVar("asyncflow_wiring", default=None)
