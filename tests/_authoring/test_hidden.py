"""Promises that hide where wiring could not put the value in are found, wherever that is."""

# ruff: noqa: PLW0108 — a lambda hides the promise, not the class itself

from __future__ import annotations

import asyncio
import collections
import functools
import threading
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest
from pydantic import BaseModel

from asyncflow import TracingError, apply, graph, op, when
from asyncflow._authoring import Promise
from asyncflow._authoring.hidden import OPAQUE_DEPTH, find_hidden
from tests._authoring.wired import anything, count, fetch, nodes, op_keys, wired


@dataclass
class Data:
    n: Any


@dataclass(frozen=True, slots=True)
class Slotted:
    n: Any


@dataclass
class Deep:
    inner: list[Data] = field(default_factory=list)


class Model(BaseModel):
    n: Any


class Point(NamedTuple):
    x: Any
    y: int


class Plain:
    def __init__(self, n: Any) -> None:
        self.n = n

    def method(self) -> Any:
        return self.n


class Private:
    __slots__ = ("__n",)

    def __init__(self, n: Any) -> None:
        self.__n = n


class Names(dict[str, Any]):
    """A dict of its own kind."""


class Lying(list[Any]):
    """A list that hides what it has from whoever asks."""

    def __iter__(self) -> Iterator[Any]:
        return iter(())


class Silent:
    """An object that answers nothing, however it is asked."""

    def __init__(self, n: Any) -> None:
        object.__setattr__(self, "n", n)

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)


def closing(x: Any) -> Callable[[], Any]:
    return lambda: x


def with_default(x: Any) -> Callable[..., Any]:
    def inner(n: Any = x, *, m: Any = None) -> Any:
        return n, m

    return inner


def with_named_default(x: Any) -> Callable[..., Any]:
    def inner(*, n: Any = x) -> Any:
        return n

    return inner


def generating(x: Any) -> Iterator[Any]:
    yield x


def started(x: Any) -> Iterator[Any]:
    def inner() -> Iterator[Any]:
        kept = x
        yield 1
        yield kept

    found = inner()
    next(found)
    return found


HIDDEN: dict[str, tuple[Callable[[Any], Any], str]] = {
    "dataclass": (Data, "in Data.n"),
    "dataclass with slots": (Slotted, "in Slotted.n"),
    "deep in dataclasses": (lambda x: Deep([Data(1), Data([x])]), "in Deep.inner[1].n[0]"),
    "dataclass in a list": (lambda x: [Data(x)], "in Data.n"),
    "pydantic model": (lambda x: Model(n=x), "in Model.n"),
    "named tuple": (lambda x: Point(x, 1), "in Point[0]"),
    "object": (Plain, "in Plain.n"),
    "private slot": (Private, "in Private._Private__n"),
    "list that lies": (lambda x: Lying([x]), "in Lying[0]"),
    "object that answers nothing": (Silent, "in Silent.n"),
    "namespace": (lambda x: types.SimpleNamespace(n=x), "in SimpleNamespace.n"),
    "closure": (closing, "closing over `x`"),
    "default": (with_default, "with a default"),
    "named default": (with_named_default, "with a default"),
    "partial": (lambda x: functools.partial(print, x), "in partial with a bound argument[0]"),
    "named in a partial": (lambda x: functools.partial(print, end=x), "in partial with a bound argument['end']"),
    "partial of a closure": (lambda x: functools.partial(closing(x)), "closing over `x`"),
    "bound method": (lambda x: Plain(x).method, "in method bound to an object.n"),
    "deque": (lambda x: collections.deque([x]), "in deque[0]"),
    "own kind of dict": (lambda x: Names(k=x), "in Names['k']"),
    "defaultdict": (lambda x: collections.defaultdict(list, k=[x]), "in defaultdict['k'][0]"),
    "mapping proxy": (lambda x: types.MappingProxyType({"k": x}), "in mappingproxy['k']"),
    "generator": (generating, "in generator using `x`"),
    "generator that started": (started, "in generator using `"),
    "list iterator": (lambda x: iter([x]), "in list_iterator over a container[0][0]"),
    "map": (lambda x: map(str, [x]), "in map over a container"),
    "zip": (lambda x: zip([1], [x], strict=False), "in zip over a container"),
    "op with `.after`": (lambda x: fetch.after(x), "with `.after(…)`"),
    "settled op with `.after`": (lambda x: fetch.after(x).settled, "with `.after(…)`"),
}


@pytest.mark.parametrize("name", list(HIDDEN))
@pytest.mark.parametrize("by_name", [False, True])
def test_a_hidden_promise_is_found(name: str, by_name: bool) -> None:
    """An argument that hides a promise is refused with the way to it, the place, and what to write instead."""
    hide, way = HIDDEN[name]

    @graph
    def main(url: str) -> Any:
        found = hide(fetch(url))
        return anything(key=found) if by_name else anything(1, found)

    with pytest.raises(TracingError) as caught:
        wired(main, "a")
    message = str(caught.value)
    assert way in message
    assert "an argument of main/anything, at " in message
    assert "hides the promise of main/fetch (wired at " in message
    assert f"{__file__}:" in message
    assert "`apply(" in message


def test_a_key_of_a_dict_is_found() -> None:
    """A promise cannot be hashed; one inside a key that can is found too."""

    @graph
    def main(url: str) -> Any:
        return anything({Plain(fetch(url)): 1})

    with pytest.raises(TracingError, match=r"in dict as a key\.n"):
        wired(main, "a")


def test_results_of_a_body_may_not_hide_promises() -> None:
    """What the body returns is looked through like an argument."""

    @graph
    def main(url: str) -> Any:
        return Data(fetch(url))

    with pytest.raises(TracingError, match=r"the output of main, .*hides the promise of main/fetch .* in Data\.n"):
        wired(main, "a")


def test_a_step_may_not_close_over_a_promise() -> None:
    """`apply(lambda: x)` would run when `x` is long forgotten: the promise is an argument instead."""

    @graph
    def main(url: str) -> int:
        page = fetch(url)
        return apply(lambda size: size + len(page), count(url))

    with pytest.raises(TracingError, match=r"closing over `page`.*`apply\(lambda value, other: …, x, other\)`"):
        wired(main, "a")


def test_the_branches_of_when_may_close_over_promises() -> None:
    """They are called while wiring, so nothing hides there."""

    @graph
    def main(url: str) -> Any:
        page = fetch(url)
        return when(count(page) > 3, lambda: count(page), lambda: page)

    assert op_keys(main, "a") == ["fetch", "count", "count#2"]


def test_what_a_step_makes_of_promises_is_fine() -> None:
    """`apply(Data, x)` makes the object when the value is there."""

    @graph
    def main(url: str) -> Any:
        return anything(apply(Data, fetch(url)))

    assert nodes(main, "a")["Data"].sources == (0,)


def test_real_objects_pass() -> None:
    """Anything without a promise passes as it is: locks, modules, classes, generators, objects in circles."""
    circle = Plain(None)
    circle.n = circle
    things = [threading.Lock(), types, Data, generating(1), circle, Plain(range(3)), open, print, object(), {1: {2}}]
    for thing in things:
        assert find_hidden(thing) is None
        wiring = wired(graph(_take), thing)
        assert wiring.nodes[0].args[0] is thing
    assert next(things[3]) == 1  # type: ignore[call-overload]  # the generator was not consumed


def _take(thing: Any) -> Any:
    return anything(thing)


def test_the_walk_is_bounded_where_objects_lead_far() -> None:
    """Of objects that are no data, only a few levels are looked at; deeper promises refuse at run time."""
    found: list[Any] = []

    @graph
    def main(url: str) -> Any:
        page = deep = fetch(url)
        for level in range(OPAQUE_DEPTH + 1):
            deep = Plain(deep)
            found.append((level, find_hidden(deep)))
        return page

    wired(main, "a")
    assert [level for level, hidden in found if hidden is not None] == list(range(OPAQUE_DEPTH))


def test_data_is_walked_to_the_end() -> None:
    """Containers and data classes are looked through however deep they are, without recursion."""
    found: list[Any] = []

    @graph
    def main(url: str) -> Any:
        page = deep = fetch(url)
        for _ in range(5_000):
            deep = Data([deep])
        found.append(find_hidden(deep))
        return page

    wired(main, "a")
    assert type(found[0][0]) is Promise


def test_many_classes_are_forgotten_again() -> None:
    """Classes made in a loop are not kept for ever."""
    for i in range(5_000):
        assert find_hidden(type(f"C{i}", (), {})()) is None


def test_an_object_is_looked_at_anew_for_each_call() -> None:
    """What held no promise at one call may hold one at the next."""
    state = Plain(None)

    @graph
    def main(url: str) -> Any:
        first = anything(state)
        state.n = fetch(url)
        return anything(state, first)

    with pytest.raises(TracingError, match=r"main/anything.* in Plain\.n"):
        wired(main, "a")


def nested_in(make: Callable[[object], object], value: object, depth: int) -> object:
    for _ in range(depth):
        value = make(value)
    return value


@pytest.mark.parametrize("make", [lambda x: [x], lambda x: (x,), lambda x: {"k": x}], ids=["list", "tuple", "dict"])
def test_promises_are_put_into_containers_of_a_hundred_levels(make: Callable[[object], object]) -> None:
    """So deep it works to the end of the run; one deeper is refused, naming call, line and promise, at any depth."""

    @op
    async def depth_of(value: Any) -> int:
        depth = 0
        while isinstance(value, (list, tuple, dict)):
            value = value["k"] if isinstance(value, dict) else value[0]
            depth += 1
        return depth

    @graph
    def main(depth: int) -> Any:
        return depth_of(nested_in(make, fetch("a"), depth))

    assert asyncio.run(main.run(100)) == 100
    for depth in (101, 5_000):
        message = r"an argument of main/depth_of, at .*test_hidden\.py:\d+, holds the promise of main/fetch .*100 cont"
        with pytest.raises(TracingError, match=message):
            wired(main, depth)


def test_containers_that_hold_themselves() -> None:
    """With a promise inside they are refused in no time; without one they are data."""

    @graph
    def main(*, promised: bool) -> Any:
        loop: list[Any] = [fetch("a") if promised else 1]
        loop.extend([loop, loop])
        return anything([fetch("b"), loop])

    with pytest.raises(TracingError, match="more than 100 containers deep"):
        wired(main, promised=True)
    assert op_keys(main, promised=False) == ["fetch", "anything"]


def test_data_may_be_as_deep_as_it_likes() -> None:
    """Real inputs and constants are walked without recursion, once."""

    @graph
    def main(data: Any) -> Any:
        return anything(data, [fetch("a"), data])

    assert op_keys(main, nested_in(lambda x: [x], 1, 20_000)) == ["fetch", "anything"]


def test_a_long_way_to_a_promise_is_shortened() -> None:
    """Both ends of it are shown."""

    @graph
    def main() -> Any:
        return anything(Data(nested_in(lambda x: [x], fetch("a"), 30)))

    with pytest.raises(TracingError, match=r"hides the promise of .* in Data\.n(\[0\]){5}…(\[0\]){3}, where"):
        wired(main)
