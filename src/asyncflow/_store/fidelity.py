"""Whether a value that came back from a store is the one that went in.

Compared part by part, so that NaN and objects without an `==` of their own do not spoil the whole. Numbers of
different classes are equal where `==` says so (`-> float` may have given an int); lists and tuples are not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from pydantic import BaseModel

_NUMBERS: Final = (int, float)


def same(now: object, then: object) -> bool:
    """Returns whether two values are the same, as far as they can be compared."""
    todo: list[tuple[object, object]] = [(now, then)]
    while todo:
        one, other = todo.pop()
        if one is other:
            continue
        parts = _parts(one, other)
        if parts is None:
            return False
        todo.extend(parts)
    return True


def _parts(one: object, other: object) -> Sequence[tuple[object, object]] | None:
    """Returns what is left to compare of two values; None where they differ already."""
    if isinstance(one, _NUMBERS) and isinstance(other, _NUMBERS):
        return () if one == other or (one != one and other != other) else None  # noqa: PLR0124 — NaN
    if (_is(one, list) and _is(other, list)) or (_is(one, tuple) and _is(other, tuple)):
        ones, others = cast("Sequence[object]", one), cast("Sequence[object]", other)
        return list(zip(ones, others, strict=True)) if len(ones) == len(others) else None
    if _is(one, dict) and _is(other, dict):
        left, right = cast("Mapping[object, object]", one), cast("Mapping[object, object]", other)
        return [(left[key], right[key]) for key in left] if left.keys() == right.keys() else None
    if type(one) is type(other) and (fields := _fields(one)) is not None:
        mine, yours = fields, _fields(other) or {}
        return [(mine[name], yours[name]) for name in mine] if mine.keys() == yours.keys() else None
    return () if _equal(one, other) else None


def _is(value: object, kind: type[Any]) -> bool:
    return isinstance(value, kind)


def _fields(value: object) -> Mapping[str, object] | None:
    """Returns the fields of a dataclass that compares by them, or of a model, private ones included."""
    if isinstance(value, BaseModel):
        return {**value.__dict__, **(value.__pydantic_extra__ or {}), **(value.__pydantic_private__ or {})}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {one.name: getattr(value, one.name) for one in dataclasses.fields(value)}
    return None


def _equal(one: object, other: object) -> bool:
    if type(one).__eq__ is object.__eq__:
        return type(one) is type(other)
    try:
        equal: Any = one == other
        return bool(equal)
    except Exception:  # noqa: BLE001 — arrays and the like cannot say it in one word; nothing speaks against them
        return type(one) is type(other)
