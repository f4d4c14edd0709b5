"""What the core looks like at one moment, as frozen data.

Noting the moment costs a few tenths of a microsecond for each who waits; the views of waiters are made and put in order
when somebody first looks at them, from what was noted then. So a snapshot of a long queue is cheap for those who only
want to know what is held, and tells the same to those who look later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast, overload

from asyncflow._limits.limit import Limit
from asyncflow._limits.order import Moment

if TYPE_CHECKING:
    from asyncflow._limits.state import State

OwnerView = Callable[[Any], Any]
"""Says how an owner is shown."""


@dataclass(frozen=True, slots=True)
class HolderView:
    """Who holds how much of a limit, and since when."""

    owner: Any
    amount: int
    borrowed: int
    since: int


@dataclass(frozen=True, slots=True)
class WaiterView:
    """Who waits for how much of a limit, and since when."""

    owner: Any
    amount: int
    since: int


class Line:
    """Everybody who waited at one moment, limit by limit; made when somebody looks."""

    __slots__ = ("_moment", "_shown", "_views")

    def __init__(self, moment: Moment, shown: OwnerView | None) -> None:
        self._moment: Moment | None = moment
        self._shown = shown
        self._views: dict[Limit, list[WaiterView]] = {}

    def of(self, limit: Limit) -> Sequence[WaiterView]:
        """Returns the waiters of a limit, in order."""
        if self._moment is not None:
            shown, views = self._shown, self._views
            for entry in self._moment.entries():
                claim, cell = entry[4], entry[5]
                owner = claim.owner if shown is None else shown(claim.owner)
                for one, amount in cell.demand.needs:
                    views.setdefault(one, []).append(WaiterView(owner, amount, claim.enqueued_at))
            self._moment = None
        return self._views.get(limit, ())


_View = TypeVar("_View")


class Views(Sequence[_View]):
    """Views that are made when somebody first looks at them; equal to a tuple of the same views.

    Args:
        make: Makes them, from what was noted when the snapshot was taken.
    """

    __slots__ = ("_made", "_make")

    def __init__(self, make: Callable[[], Iterable[_View]]) -> None:
        self._make: Callable[[], Iterable[_View]] | None = make
        self._made: tuple[_View, ...] = ()

    def _all(self) -> tuple[_View, ...]:
        if self._make is not None:
            self._made, self._make = tuple(self._make()), None
        return self._made

    @overload
    def __getitem__(self, index: int) -> _View: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[_View]: ...

    def __getitem__(self, index: int | slice) -> _View | Sequence[_View]:
        return self._all()[index]

    def __len__(self) -> int:
        return len(self._all())

    def __iter__(self) -> Iterator[_View]:
        return iter(self._all())

    def __eq__(self, other: object) -> bool:
        return self._all() == (tuple(cast("Views[object]", other)) if isinstance(other, Views) else other)

    def __hash__(self) -> int:
        return hash(self._all())

    def __repr__(self) -> str:
        return repr(self._all())


class LimitView(NamedTuple):
    """One limit with its holders, oldest first, and its waiters in order."""

    name: str
    capacity: int | None
    held: int
    reserved: int
    debt: int
    paused: bool
    named: bool
    holders: tuple[HolderView, ...]
    waiters: Sequence[WaiterView]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Every limit, in order of creation."""

    at: int
    limits: tuple[LimitView, ...]

    def limit(self, name: str) -> LimitView:
        """Returns the first limit of that name.

        Raises:
            KeyError: where there is none.
        """
        for view in self.limits:
            if view.name == name:
                return view
        raise KeyError(name)


def take_snapshot(state: State, shown: OwnerView | None = None) -> Snapshot:
    """Returns what every limit looks like now; `shown` says how owners appear in it."""
    holders: dict[Limit, list[HolderView]] = {}
    for claim in state.books.granted:
        owner = claim.owner if shown is None else shown(claim.owner)
        for limit, _ in claim.demand.needs:
            own, borrowed = claim.own_of(limit), claim.borrowed_of(limit)
            if own or borrowed:
                holders.setdefault(limit, []).append(HolderView(owner, own, borrowed, claim.granted_at))
    line = Line(Moment(state), shown)
    return Snapshot(
        state.now,
        tuple(
            [
                LimitView(
                    limit.name,
                    limit.capacity,
                    limit.held,
                    limit.reserved,
                    limit.debt,
                    limit.paused,
                    limit.named,
                    tuple(holders.get(limit, ())),
                    Views(partial(line.of, limit)) if limit.crowd is not None else (),
                )
                for limit in state.limits
            ]
        ),
    )
