"""Results that nothing uses are warned of: the backstop for what a promise cannot see."""

# ruff: noqa: ARG005, PLW0108 — the call has to happen inside the graph

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest

from asyncflow import apply, each, graph, op, when
from asyncflow._authoring import UnusedResultWarning
from tests._authoring.wired import anything, count, fetch, links, touch, wired


@op
async def untyped(url):  # type: ignore[no-untyped-def]  # untyped on purpose: nothing is known of its result
    """An op that says nothing of its result."""
    return url


def said(body: Callable[[str], Any]) -> list[tuple[str, str]]:
    """Returns op and type of every warning a graph with this body gives, as told once per line."""

    @graph
    def main(url: str) -> Any:
        return body(url)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        wired(main, "a")
    found = []
    for warning in caught:
        assert warning.category is UnusedResultWarning
        assert warning.filename == __file__
        subject, _, _ = str(warning.message).partition(", is used nowhere")
        key, kind = subject.removeprefix("the result of main/").split(", ", 1)
        found.append((key, kind))
    return found


def is_none(url: str) -> Any:
    page = fetch(url)
    return count("x") if page is None else count("y")


def loop(url: str) -> None:
    for _ in range(3):
        fetch(url)


@graph
def sub(url: str) -> int:
    """A nested graph whose result may be forgotten."""
    return count(fetch(url))


@graph
def careless(link: str) -> int:
    """A nested graph that forgets one of its own."""
    fetch(link)
    return count(link)


UNUSED: dict[str, tuple[Callable[[str], Any], list[tuple[str, str]]]] = {
    "x is None": (is_none, [("fetch", "str")]),
    "a statement": (lambda url: [fetch(url), None][1], [("fetch", "str")]),
    "several of one line": (loop, [("fetch", "str")]),
    "a map": (lambda url: [each(fetch, [url]), None][1], [("fetch", "list[str]")]),
    "a map over a promise": (lambda url: [each(fetch, links(url)), None][1], [("fetch", "list[str]")]),
    "an outcome": (lambda url: [fetch.settled(url), None][1], [("fetch", "Outcome[str]")]),
    "a nested graph": (lambda url: [sub(url), None][1], [("sub/count", "int")]),
    "inside what is repeated": (lambda url: each(careless, links(url)), [("careless[]/fetch", "str")]),
}


@pytest.mark.parametrize("name", list(UNUSED))
def test_unused(name: str) -> None:
    """Ops, maps, outcomes and what nested graphs give, wherever they were wired."""
    body, expected = UNUSED[name]
    assert said(body) == expected


USED: dict[str, Callable[[str], Any]] = {
    "returned": lambda url: fetch(url),
    "returned in a container": lambda url: {"page": [fetch(url)]},
    "an argument": lambda url: [anything(fetch(url)), 1][1],
    "by an expression": lambda url: [fetch(url).title, 1][1],
    "by order": lambda url: touch.after(fetch(url))(url),
    "by a condition": lambda url: when(count(url) > 3, lambda: fetch(url), lambda: 1),
    "by a branch": lambda url: when(count(url) > 3, lambda: fetch(url), lambda: fetch("b")),
    "by a step": lambda url: [apply(len, fetch(url)), 1][1],
    "by a map": lambda url: each(count, links(url)),
    "by every item of a map": lambda url: each(count, links(url), count(url)),
    "item by item": lambda url: each(count, each(fetch, [url])),
    "item by item at run time": lambda url: each(count, each(fetch, links(url))),
    "one item": lambda url: each(fetch, [url])[0],
    "no items": lambda url: [each(fetch, []), 1][1],
    "gives None": lambda url: [touch(url), 1][1],
    "gives None in each": lambda url: [each(touch, [url]), 1][1],
    "gives None, settled": lambda url: [touch.settled(url), 1][1],
    "says nothing": lambda url: [untyped(url), 1][1],
    "gives Any": lambda url: [anything(url), 1][1],
}


@pytest.mark.parametrize("name", list(USED))
def test_used(name: str) -> None:
    """Whatever reads, orders or returns a result uses it; None, Any and nothing need no use."""
    assert said(USED[name]) == []


def test_it_is_said_once_for_each_line() -> None:
    """A graph that is wired for every run does not repeat itself under Python's default filter."""

    @graph
    def main(url: str) -> None:
        fetch(url)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            wired(main, "a")
    assert len(caught) == 1
    message = str(caught[0].message)
    for advice in ("`x is None`", "apply(lambda value: value is None, x)", "`.after(…)`", "`-> None`"):
        assert advice in message
