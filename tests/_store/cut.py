"""A store that a process left in the middle: after so many entries nothing is written any more."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from asyncflow import Deployment
from asyncflow._store import Keeper, RunSession, RunStore, store_of
from asyncflow._store.entry import Entry


class CutSession:
    """Writes the first entries only, and remembers which."""

    def __init__(self, session: RunSession, cut: Cut) -> None:
        self._session = session
        self._cut = cut

    def write(self, entries: Sequence[Entry]) -> None:
        left = entries[: max(0, self._cut.most - len(self._cut.written))]
        self._cut.written.extend(left)
        if left:
            self._session.write(left)

    def __getattr__(self, name: str) -> object:
        return getattr(self._session, name)


class Cut:
    """A store whose process dies after `most` entries, as far as the store can see."""

    def __init__(self, store: RunStore, most: int) -> None:
        self.store = store
        self.most = most
        self.written: list[Entry] = []
        self.name = store.name
        self.blocks = store.blocks

    def open(self) -> CutSession:
        return CutSession(self.store.open(), self)


def killed(url: str | RunStore, most: int, name: str = "prod") -> tuple[Deployment, Cut]:
    """Returns a deployment of which the store hears no more than `most` entries, and what it heard."""
    store = store_of(url) if isinstance(url, str) else url
    assert store is not None
    deployment = Deployment(name)
    cut = Cut(store, most)
    deployment._keeper = Keeper(cut, deployment._observers.warn)  # type: ignore[arg-type]  # a test looks behind the scenes
    return deployment, cut


def on(store: RunStore, name: str = "prod", **options: object) -> Deployment:
    """Returns a deployment with this very store."""
    deployment = Deployment(name, **options)  # type: ignore[arg-type]  # a test looks behind the scenes
    deployment._keeper = Keeper(store, deployment._observers.warn)
    return deployment


def url_of(path: Path) -> str:
    return f"sqlite:///{path}"
