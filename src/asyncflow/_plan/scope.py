"""Scopes: one for the graph itself, one for each nested call. Limits of a scope hold for all that stands in it."""

from __future__ import annotations

from dataclasses import dataclass

from asyncflow.options import TagLimit
from asyncflow.retry import Retry


@dataclass(frozen=True, slots=True)
class Scope:
    """One call of a graph.

    Args:
        parent: The scope it was called in; None for the graph itself.
        path: What its keys begin with: empty for the graph itself, else `sub`, `sub#2/inner`, `sub[]`.
        max_concurrent: How many of its ops run at once; None is unlimited.
        tag_limits: Its op-tag limits.
        op_retry: How its ops without a policy of their own are tried again; None: as in the scope around it.
        timeout: Seconds that its ops may take together; None is no limit.
        late: How many calls of late graphs it lies in, its own included.
    """

    parent: int | None
    path: str
    max_concurrent: int | None
    tag_limits: tuple[TagLimit, ...]
    op_retry: Retry | None = None
    timeout: float | None = None
    late: int = 0

    @property
    def limited(self) -> bool:
        """True where it has a limit of its own."""
        return self.max_concurrent is not None or bool(self.tag_limits)


@dataclass(frozen=True, slots=True)
class Shape:
    """What ops of a plan ask for, apart from whose run it is: ops of one shape have one demand in each run.

    Args:
        scope: The scope they stand in.
        pool: Their pools, or the function that will name them.
        tags: Their op tags, sorted.
        place: What they need to run at: a `thread`, a `process`, or nothing.
        source: Whether they give their results one by one.
    """

    scope: int
    pool: object
    tags: tuple[tuple[str, str], ...]
    place: str
    source: bool = False
