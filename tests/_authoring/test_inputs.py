"""Inputs of graphs, checked before anything is wired; a message never has the value."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol

import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict  # pydantic wants this one before Python 3.12

from asyncflow import InputError, PlanError, graph
from tests._authoring.wired import fetch, wired

SECRET = "hunter2-" * 4


class Config(BaseModel):
    """A model as an input."""

    seeds: list[str]
    depth: int = 1


@dataclass
class Point:
    """Data as an input."""

    x: int
    y: int


class Options(TypedDict):
    """A dict with known keys."""

    depth: int


class Opaque:
    """A class pydantic knows nothing of."""


class Sized(Protocol):
    """Something pydantic cannot check."""

    def size(self) -> int:
        """A size."""
        ...


def taken(annotation: Any, value: Any) -> Any:
    """Returns what the body of a graph gets for an input."""
    seen: list[Any] = []

    def main(value: Any) -> None:
        seen.append(value)

    main.__annotations__ = {"value": annotation}
    wired(graph(main), value)
    return seen[0]


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (int, 3, 3),
        (int, "3", 3),
        (float, 3, 3.0),
        (str, "a", "a"),
        (bool, True, True),
        (list[int], ["1", 2], [1, 2]),
        (tuple[int, str], [1, "a"], (1, "a")),
        (dict[str, int], {"a": "1"}, {"a": 1}),
        (Config, {"seeds": ["a"]}, Config(seeds=["a"])),
        (Point, {"x": 1, "y": "2"}, Point(1, 2)),
        (Options, {"depth": "2"}, {"depth": 2}),
        (int | None, None, None),
        (Literal["a", "b"], "b", "b"),
        (Annotated[int, Field(ge=3)], 3, 3),
        (Any, {1}, {1}),
        (object, 3, 3),
        (Sequence[int], ("1",), (1,)),
    ],
)
def test_values_that_fit_are_taken_over(annotation: Any, value: Any, expected: Any) -> None:
    """What pydantic makes of an input is what the body gets."""
    assert taken(annotation, value) == expected


def test_the_same_object_is_given_where_nothing_is_to_be_changed() -> None:
    """Models, opaque objects, iterables and functions are handed over as they are, not consumed or copied."""
    model, opaque, point = Config(seeds=[]), Opaque(), Point(1, 2)
    stream = (word for word in "ab")
    for annotation, value in (
        (Config, model),
        (Opaque, opaque),
        (Point, point),
        (Iterable[int], stream),
        (Callable[[int], str], str),
        (Sized, opaque),
        ("NotThere", opaque),
    ):
        assert taken(annotation, value) is value
    assert list(stream) == ["a", "b"]


@pytest.mark.parametrize(
    ("annotation", "value", "message"),
    [
        (int, SECRET, r"takes int as 'value', and got str of length 32 \(int_parsing\)"),
        (
            list[int],
            [SECRET, 1, SECRET],
            r"takes list\[int\] as 'value', and got list of 3 items \(2 problems: int_parsing\)",
        ),
        (Config, {"seeds": SECRET}, r"takes Config as 'value', and got dict of 1 items \(list_type\)"),
        (Config, Opaque(), r"takes Config as 'value', and got Opaque \(model_type\)"),
        (Opaque, SECRET, r"takes Opaque as 'value', and got str of length 32 \(is_instance_of\)"),
        (Annotated[str, Field(max_length=3)], SECRET, r"got str of length 32 \(string_too_long\)"),
        (Literal["a"], SECRET, r"\(literal_error\)"),
        (Iterable[int], 3, r"takes Iterable\[int\] as 'value', and got int;"),
        (int | None, SECRET, r"takes int \| None as 'value'"),
    ],
)
def test_values_that_do_not_fit(annotation: Any, value: Any, message: str) -> None:
    """The error names graph, parameter, expected type, given type and size, and never the value or its parts."""
    with pytest.raises(InputError, match=message) as caught:
        taken(annotation, value)
    assert str(caught.value).startswith("main takes ")
    assert str(caught.value).endswith("; nothing was started")
    whole = "".join(traceback.format_exception(caught.value))
    assert "hunter2" not in whole
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


def test_named_and_many_inputs_are_checked() -> None:
    """Keyword-only inputs, `*args` and `**kwargs` are checked with their own annotations."""

    @graph
    def main(*numbers: int, word: str, **flags: bool) -> None:
        seen.append((numbers, word, flags))

    seen: list[Any] = []
    wired(main, "1", 2, word="w", a=True, b="no")
    assert seen == [((1, 2), "w", {"a": True, "b": False})]
    with pytest.raises(InputError, match=r"takes int as 'numbers'"):
        wired(main, "x", word="w")
    with pytest.raises(InputError, match=r"takes bool as 'flags'"):
        wired(main, word="w", a=3)


def test_checks_are_made_once() -> None:
    """One adapter for each parameter, made at the first run."""

    @graph
    def main(urls: list[str]) -> Any:
        return fetch(urls[0])

    wired(main, ["a"])
    checks = main.definition.inputs._checks
    wired(main, ["b"])
    assert main.definition.inputs._checks is checks


def test_types_defined_inside_a_function() -> None:
    """Annotations written as strings find the names around the definition."""

    class Local(BaseModel):
        n: int

    @graph
    def main(cfg: Local) -> Any:
        return fetch(str(cfg.n))

    assert wired(main, {"n": "3"}).nodes[0].args == ("3",)


def test_an_annotation_that_cannot_be_resolved_checks_nothing() -> None:
    """The others are checked all the same."""

    @graph
    def main(a: NotDefinedAnywhere, n: int) -> Any:  # type: ignore[name-defined]  # noqa: F821 — not defined is the point
        return fetch(str(n))

    assert wired(main, object(), "3").nodes[0].args == ("3",)
    with pytest.raises(InputError, match="takes int as 'n'"):
        wired(main, object(), "x")


def test_binding_of_inputs() -> None:
    """Missing, unknown and doubled inputs are refused before any check, with the caller's place."""

    @graph
    def main(url: str, depth: int = 0) -> Any:
        return fetch(url, depth=depth)

    for args, kwargs, message in (
        ((), {}, r"main is missing 'url', at .*; its parameters are \(url, depth=…\)"),
        (("a",), {"deepth": 1}, r"main has no parameter 'deepth'; did you mean 'depth'\?"),
        (("a",), {"url": "b"}, r"main got 'url' twice"),
        (("a", 1, 2), {}, r"main takes 2 arguments by position, and 3 were given"),
    ):
        with pytest.raises(PlanError, match=message) as caught:
            wired(main, *args, **kwargs)
        assert "wired.py:" in str(caught.value)
