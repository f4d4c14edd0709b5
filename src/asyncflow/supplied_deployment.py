"""A deployment's own resources, and what stands in for them in tests."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Generator
from contextvars import Context
from typing import TypeVar

from asyncflow import _executor as executor
from asyncflow._authoring import Resource
from asyncflow._executor import DeploymentState, Overrides, Shelf
from asyncflow.history import KeptRuns
from asyncflow.hooks import Hooks

T = TypeVar("T")


class SuppliedDeployment(KeptRuns):
    """What a deployment gives to its runs beside limits: resources, hooks, and how values are judged."""

    _overrides: Overrides = executor.NO_OVERRIDES
    _context: Context
    _hooks: Hooks | None
    _judges: bool
    _overriding: list[tuple[object, Resource]]

    @property
    def is_open(self) -> bool:
        """True between entering and leaving `async with`."""
        return False

    @contextlib.contextmanager
    def override(
        self, provider: Callable[[], AsyncIterator[T]], fake: Callable[[], AsyncIterator[T]] | T
    ) -> Generator[None]:
        """Puts something else in the place of a resource, for tests: `with deployment.override(http, fake_http):`.

        It holds for the runs that are submitted inside the block, wherever the provider is used, by other providers
        too. A resource that uses an overridden one is another instance than without; of a deployment's own, each block
        opens new ones, which are closed with the deployment. What ops take of pools does not change.

        Args:
            provider: The provider, as in `use(provider)`.
            fake: Another provider, or the very object to give.

        Raises:
            ConfigurationError: for something that is no provider, or needs itself.
        """
        entry = (provider, executor.put_instead(provider, fake, self.overrides))
        self._overriding.append(entry)
        self._overrides = dict(self._overriding)
        try:
            yield
        finally:
            self._overriding.remove(entry)
            self._overrides = dict(self._overriding)

    @property
    def overrides(self) -> Overrides:
        """What stands in for which provider in new runs."""
        return self._overrides

    def provide(self, home: DeploymentState) -> None:
        """Says what the resources of the next run are, and whether its values are judged. Doors use it."""
        home.judges = self._judges
        home.hooks = self._hooks
        home.overrides = self.overrides
        if home.shelf is None and self.is_open:
            home.shelf = Shelf(home.engine, run=None, context=self._context)
