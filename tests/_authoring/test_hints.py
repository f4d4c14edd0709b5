"""Annotations of producer and consumer: only what is surely wrong is refused."""

# ruff: noqa: PLW0108 — the call has to happen inside the graph

from __future__ import annotations

import enum
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Final,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    NoReturn,
    Optional,
    Protocol,
    TypedDict,
    TypeVar,
    Union,
)

import pytest

from asyncflow import Outcome, PlanError, graph, op
from asyncflow._authoring.hint import Hint, disproves, hint_of, shown
from tests._authoring.wired import wired

T = TypeVar("T")
UserId = NewType("UserId", int)


class Base:
    pass


class Derived(Base):
    pass


class Other:
    pass


class Named(Protocol):
    name: str


class Row(TypedDict):
    n: int


class Box(Generic[T]):
    pass


class Mode(str, enum.Enum):  # noqa: UP042 — the old spelling is what is tested
    FAST = "fast"


class Colour(enum.Enum):
    RED = 1


class Point(NamedTuple):
    x: int
    y: str


@dataclass
class Page:
    url: str


FINE: list[tuple[Any, Any]] = [
    (int, int),
    (int, float),
    (bool, int),
    (bool, float),
    (int, complex),
    (float, complex),
    (bytearray, bytes),
    (Derived, Base),
    (Base, Derived),
    (Any, int),
    (int, object),
    (object, int),
    (int, Optional[int]),  # noqa: UP045 — the old spelling is what is tested
    (Optional[int], int),  # noqa: UP045 — as above
    (int | None, int),
    (int | str, str | bytes),
    (int, Union[str, int]),  # noqa: UP007 — the old spelling is what is tested
    (None, int | None),
    (T, int),
    (int, T),
    (list[int], list[str]),
    (list[int], list),
    (list[int], Sequence[int]),
    (list[int], Iterable[str]),
    (dict[str, int], Mapping[str, int]),
    (OrderedDict[str, int], dict[str, int]),
    (Row, dict[str, int]),
    (dict[str, int], Row),
    (Page, Named),
    (Named, Page),
    (Box[int], Box[str]),
    (UserId, int),
    (int, UserId),
    (Annotated[int, "meters"], float),
    (Literal["a"], str),
    (str, Literal["a"]),
    (Mode, str),
    (str, Mode),
    (Point, tuple[int, str]),
    (Point, tuple),
    (type[int], type),
    (Callable[[int], str], Callable[..., Any]),
    ("Unresolved", int),
    (Final[int], int),
    (Path, Path),
]

WRONG: list[tuple[Any, Any]] = [
    (int, str),
    (str, int),
    (float, int),
    (str, bytes),
    (None, int),
    (int, None),
    (Base, Other),
    (Page, str),
    (list[int], str),
    (list[int], dict[str, int]),
    (dict[str, int], Sequence[int]),
    (int | str, bytes),
    (Optional[int], str | bytes),  # noqa: UP045 — the old spelling is what is tested
    (Literal["a"], int),
    (Annotated[int, "meters"], Annotated[str, "name"]),
    (UserId, str),
    (Colour, Mode),
    (Colour, int),
    (str, Path),
    (Box[int], Other),
    (Outcome[int], int),
    (int, Iterable[int]),
    (tuple[int, str], list[int]),
]


def judged(result: Any, parameter: Any) -> bool:
    """Returns whether a result is refused for a parameter."""
    given, takes = hint_of(result), hint_of(parameter)
    return given is not None and takes is not None and disproves(given, takes)


@pytest.mark.parametrize(("result", "parameter"), FINE)
def test_what_may_be_right_passes(result: Any, parameter: Any) -> None:
    """Subclasses, wider numbers, unions that overlap, generics, protocols, unknown types."""
    assert judged(result, parameter) is False


@pytest.mark.parametrize(("result", "parameter"), WRONG)
def test_what_is_surely_wrong_is_refused(result: Any, parameter: Any) -> None:
    """Plain classes of which neither is a kind of the other."""
    assert judged(result, parameter) is True


def test_the_message_names_both_types_and_the_parameter() -> None:
    """What is refused while wiring tells op, place, parameter, and both types; it is compared once."""

    @op
    async def size(page: Page) -> int:
        return len(page.url)

    @op
    async def shout(text: str, *more: str, sep: str = "", **named: str) -> str:
        return text.upper()

    cases: list[tuple[Any, str]] = [
        (lambda n: shout(n), "text"),
        (lambda n: shout("a", "b", n), "more"),
        (lambda n: shout("a", sep=n), "sep"),
        (lambda n: shout("a", other=n), "named"),
        (lambda n: shout(text=n), "text"),
    ]
    for use, parameter in cases:

        @graph
        def main(page: Page) -> Any:
            return use(size(page))  # noqa: B023 — called before the loop goes on

        with pytest.raises(PlanError) as caught:
            wired(main, Page("a"))
        message = str(caught.value)
        assert f"takes str as {parameter!r}, and is given a result of type int" in message
        assert message.startswith("main/shout, called at ")
        assert f"{__file__}:" in message

    @graph
    def fine(page: Page) -> Any:
        return [shout(shout("a")), shout("a", shout("b"), sep=shout("c"), other=shout("d"))]

    assert len(wired(fine, Page("a")).nodes) == 7
    assert {str(hint) for accepted in shout.definition.signature.accepted for hint in accepted} == {"str"}


def test_parts_items_and_names() -> None:
    """What is known of tuples, lists and what messages call a type."""
    assert [str(part) for part in Hint(tuple[int, str]).parts or ()] == ["int", "str"]
    assert Hint(tuple[int, ...]).parts is None
    assert Hint(tuple[()]).parts == ()
    assert Hint(list[int]).parts is None
    assert Hint(Point).parts == (None, None)
    assert str(Hint(list[int]).item) == "int"
    assert Hint(dict[str, int]).item is None
    assert (str(Hint(int).listed), str(Hint(int).settled)) == ("list[int]", "Outcome[int]")
    assert [Hint(kind).valued for kind in (None, type(None), NoReturn, int, int | None)] == [
        False,
        False,
        False,
        True,
        True,
    ]
    assert [shown(kind) for kind in (int, None, list[int], int | None, Page)] == [
        "int",
        "None",
        "list[int]",
        "int | None",
        "Page",
    ]


def test_classes_that_cannot_be_asked_pass() -> None:
    """A metaclass that answers `isinstance` its own way says nothing here."""

    class Meta(type):
        def __instancecheck__(cls, instance: object) -> bool:
            return True

    class Odd(metaclass=Meta):
        pass

    assert judged(int, Odd) is False
