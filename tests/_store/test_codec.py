"""Values as JSON and back: they come back as they were, or they are refused when they are written."""

from __future__ import annotations

import datetime as dt
import enum
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, NamedTuple
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, PlainSerializer, PlainValidator, PrivateAttr, SecretStr
from typing_extensions import TypedDict  # pydantic takes that of typing only from 3.12 on

from asyncflow._authoring import Hint
from asyncflow._store import Codec, UnfitError, same


@dataclass(frozen=True)
class Point:
    x: float
    data: bytes = b""
    inner: tuple[int, ...] = ()


@dataclass(frozen=True)
class Named(Point):
    name: str = ""


class Model(BaseModel):
    a: int
    when: dt.datetime | None = None


class Wider(Model):
    b: int = 1


class Hiding(BaseModel):
    a: int
    _b: int = PrivateAttr(default=0)


class Pair(NamedTuple):
    a: int
    b: str


class Typed(TypedDict):
    a: bytes


class Colour(enum.Enum):
    RED = "red"


class Opaque:
    """Pydantic has no schema for it; it says itself how it is kept."""

    def __init__(self, x: int) -> None:
        self.x = x


Kept = Annotated[Opaque, PlainValidator(Opaque), PlainSerializer(lambda one: one.x)]

NOW = dt.datetime(2026, 11, 24, tzinfo=dt.UTC)

GOOD: list[tuple[Any, Any]] = [
    (int, 3), (int, 10**40), (float, 2.5), (float, 3), (float, math.inf), (str, "é\0\x1b"), (bool, True), (None, None),
    (bytes, b"\xff\x00"), (list[int], [1]), (tuple[int, ...], (1, 2)), (tuple[int, str], (1, "a")), (set[str], {"a"}),
    (dict[int, str], {1: "a"}), (dict[str, Any], {"a": [1, {"b": None}]}), (Point, Point(1.5, b"\xff", (1,))),
    (list[Point], [Point(1), Point(math.nan)]),
    (Model, Model(a=1, when=NOW)), (Pair, Pair(1, "a")),
    (Typed, {"a": b"\xff"}),
    (Colour, Colour.RED), (dt.date, NOW.date()), (dt.timedelta, dt.timedelta(microseconds=1)),
    (Decimal, Decimal("1.10")), (UUID, UUID(int=3)), (Path, Path("/a/b")), (int | None, None), (int | str, "1"),
    (Sequence[int], [1]), (Mapping[str, int], {"a": 1}), (Counter[str], Counter("aab")), (complex, 1 + 2j),
    (dict[str, int], defaultdict(int, a=1)), (frozenset[int], frozenset({1})), (Point | Model, Model(a=1)),
]  # fmt: skip


@pytest.mark.parametrize(("annotation", "value"), GOOD, ids=lambda one: repr(one)[:40])
def test_what_an_annotation_describes_comes_back(annotation: Any, value: Any) -> None:
    """Given a value that its annotation describes: it comes back equal, NaN and bytes included."""
    codec = Codec(Hint(annotation))
    assert codec.problem == ""
    assert same(value, codec.read(codec.written(value)))


BAD: list[tuple[Any, Any]] = [
    (int, "a"), (str, 1), (list[int], (1, 2)), (Sequence[int], (1, 2)),
    (Model, Wider(a=1, b=5)), (Point, Named(1, name="n")),
    (SecretStr, SecretStr("canary")), (dict[str, Any], {"a": (1, 2)}),
    (list[Any], [Point(1)]), (dict[str, Any], {"a": {1}}),
    (str, "\ud800"), (Any, Opaque(1)),
]  # fmt: skip


@pytest.mark.parametrize(("annotation", "value"), BAD, ids=lambda one: repr(one)[:40])
def test_what_would_come_back_as_something_else_is_refused(annotation: Any, value: Any) -> None:
    """Given a subclass with more fields, a secret, a tuple nothing tells of: refused, and not shown."""
    codec = Codec(Hint(annotation))
    with pytest.raises(UnfitError) as refused:
        codec.written(value)
    assert "canary" not in str(refused.value)


def test_what_a_model_hides_is_not_lost_in_silence() -> None:
    """Given a private attribute, which no JSON has: refused where it has another value than a fresh one."""
    codec = Codec(Hint(Hiding))
    hiding = Hiding(a=1)
    codec.written(hiding)
    hiding._b = 7
    with pytest.raises(UnfitError):
        codec.written(hiding)


@pytest.mark.parametrize("annotation", [Opaque, Iterator[int], Iterable[int], list[Opaque], "Nowhere"], ids=repr)
def test_a_type_that_cannot_be_kept_is_known_before_there_is_a_value(annotation: Any) -> None:
    """Given a type without a schema, or that can be read only once: it is known without a value."""
    assert Codec(Hint(annotation)).problem


def test_a_type_may_say_how_it_is_kept() -> None:
    """Given `Annotated[T, PlainSerializer, PlainValidator]`: that is used, for any class at all."""
    codec = Codec(Hint(Kept))
    assert codec.read(codec.written(Opaque(7))).x == 7


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=12,
))  # fmt: skip
def test_plain_json_comes_back_without_an_annotation(value: Any) -> None:
    """Given nothing said, and plain JSON: it comes back as it was, of the same classes."""
    codec = Codec(None)
    back = codec.read(codec.written(value))
    assert repr(back) == repr(value)


def test_what_goes_round_in_circles_is_refused() -> None:
    """Given a list that has itself in it: refused, not looked at for ever."""
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(UnfitError):
        Codec(None).written(circle)


def test_objects_without_an_equal_of_their_own_are_the_same() -> None:
    """Given parts that cannot be compared: nothing speaks against them, as long as they are of one class."""

    class Array:
        __hash__ = None  # type: ignore[assignment]  # a test looks behind the scenes

        def __eq__(self, other: object) -> bool:
            raise ValueError

    @dataclass
    class Holder:
        array: object = field(default_factory=Array)

    assert same(Holder(), Holder())
    assert same(Opaque(1), Opaque(2))
    assert not same(Holder(), Opaque(1))
    assert not same([1], [1, 2])
    assert not same({"a": 1}, {"b": 1})
