"""The promise: stands for the result of a node while a graph is wired.

To the type checker a promise is the result itself. At run time it records what can be computed from the result later
(arithmetic, comparisons, attributes, items) as free inline steps, and refuses what would need the value now, each with
its own hint. What it can do is a table, not a hundred methods: `operator` has the function for every operator.

Two things cannot be seen. `x is None` never calls anything, so wiring warns when a result is used nowhere; and a
mapping pattern in `match` asks for a type flag that excludes the one of sequences, which is set here. `repr` is
allowed, since debuggers and error messages need it.

`type(x) is Promise` is how the engine asks; `isinstance(x, …)` asks for `x.__class__`, which raises. The two slots end
in underscores because every other attribute name belongs to the value.
"""

from __future__ import annotations

import collections.abc
import math
import operator
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, NoReturn

from asyncflow._authoring.current import CURRENT
from asyncflow._authoring.hint import Hint
from asyncflow._authoring.refusal import refusal, stale

if TYPE_CHECKING:
    from asyncflow._authoring.node import Ref
    from asyncflow._authoring.wiring import Wiring


class Promise:
    """The result of a node, while wiring."""

    __slots__ = ("ref__", "wiring__")

    ref__: Ref
    wiring__: Wiring

    def __init__(self, wiring: Wiring, ref: Ref) -> None:
        self.wiring__ = wiring
        self.ref__ = ref

    @property  # type: ignore[misc]  # `isinstance` asks here, and must not get an answer
    def __class__(self) -> NoReturn:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]  # as above
        raise refusal(self, "`isinstance(…)`, `match` or JSON", "class")

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 — the attribute of a value that does not exist yet
        if name.startswith("__") and name.endswith("__"):
            raise refusal(self, f"`.{name}`", "dunder")
        return recorded(self, getattr, f"(getattr {name})", (self, name))

    def __getitem__(self, key: Any) -> Any:  # noqa: ANN401 — the item of a value that does not exist yet
        if type(key) is slice:
            return recorded(self, _taken, "(getitem)", (self, key.start, key.stop, key.step))
        hint = hint_of_promise(self)
        gives = None if hint is None else _part(hint.parts, key)
        return recorded(self, operator.getitem, "(getitem)", (self, key), gives=gives)

    def __iter__(self) -> Iterator[Any]:
        hint = hint_of_promise(self)
        if hint is None or hint.parts is None:
            raise refusal(self, "a loop, `list(…)` or unpacking", "iter")
        return iter([self[i] for i in range(len(hint.parts))])

    def __repr__(self) -> str:
        return f"<Promise {self.wiring__.graph_name}/{self.wiring__.nodes[self.ref__.id].key}>"

    def __copy__(self) -> Promise:
        return self

    def __deepcopy__(self, memo: object) -> Promise:
        return self


def hint_of_promise(promise: Promise) -> Hint | None:
    """Returns what is known of the type of the value."""
    return promise.wiring__.nodes[promise.ref__.id].gives


def recorded(
    promise: Promise, fn: Callable[..., Any], name: str, args: tuple[Any, ...], *, gives: Hint | None = None
) -> Any:  # noqa: ANN401 — the promise of any value
    """Returns the promise of `fn(*args)` as a free inline step."""
    wiring = CURRENT.get()
    if wiring is None or wiring.closed:
        raise stale(promise)
    return wiring.step(fn, name, args, gives=gives)


def _part(parts: tuple[Hint | None, ...] | None, key: object) -> Hint | None:
    if parts is not None and isinstance(key, int) and -len(parts) <= key < len(parts):
        return parts[key]
    return None


def _taken(value: Any, start: Any, stop: Any, step: Any) -> Any:  # noqa: ANN401 — a slice of any value
    return value[start:stop:step]


Function = Callable[..., Any]
_PAIR: Final = Hint(tuple[Any, Any])

_BOTH_WAYS: Final = (
    "add", "sub", "mul", "truediv", "floordiv", "mod", "divmod", "pow", "matmul",
    "and", "or", "xor", "lshift", "rshift",
)  # fmt: skip
_ONE_WAY: Final = (
    "eq", "ne", "lt", "le", "gt", "ge", "neg", "pos", "invert", "abs", "round", "floor", "ceil", "trunc",
)  # fmt: skip
_NOT_OPERATORS: Final[Mapping[str, Function]] = {
    "pow": pow,  # takes a modulus
    "divmod": divmod,
    "round": round,
    "floor": math.floor,
    "ceil": math.ceil,
    "trunc": math.trunc,
}
_REFUSED: Final[Mapping[str, tuple[str, str]]] = {
    "bool": ("`if`, `not`, `and`, `or`, `in`, `assert` or `max`", "bool"),
    "len": ("`len(…)`", "len"),
    "length_hint": ("`len(…)`", "len"),
    "contains": ("`in`", "contains"),
    "index": ("`range(…)` or an index", "index"),
    "int": ("`int(…)`", "int"),
    "float": ("`float(…)` or a function of numbers", "float"),
    "complex": ("`complex(…)`", "complex"),
    "bytes": ("`bytes(…)`", "bytes"),
    "str": ("`str(…)` or a text made of it", "str"),
    "format": ("an f-string or `format(…)`", "str"),
    "fspath": ("a path made of it", "path"),
    "call": ("calling it, or a method of it,", "call"),
    "await": ("`await`", "await"),
    "enter": ("`with`", "with"),
    "exit": ("`with`", "with"),
    "aenter": ("`async with`", "with"),
    "aexit": ("`async with`", "with"),
    "aiter": ("`async for`", "aiter"),
    "anext": ("`anext(…)`", "aiter"),
    "next": ("`next(…)`", "next"),
    "reversed": ("`reversed(…)`", "reversed"),
    "setitem": ("setting an item", "set"),
    "delitem": ("deleting an item", "set"),
    "hash": ("a dict key, a set member, or looking it up in one,", "hash"),
    "instancecheck": ("`isinstance(…, x)`", "class"),
    "subclasscheck": ("`issubclass(…, x)`", "class"),
    "reduce_ex": ("pickling", "pickle"),
    "reduce": ("pickling", "pickle"),
}


def _recording(name: str, fn: Function) -> Function:
    gives = _PAIR if fn is divmod else None

    def method(self: Promise, *others: Any) -> Any:  # noqa: ANN401 — operands are any values
        return recorded(self, fn, f"({name})", (self, *others), gives=gives)

    return method


def _recording_reflected(name: str, fn: Function) -> Function:
    gives = _PAIR if fn is divmod else None

    def method(self: Promise, other: Any, *_: None) -> Any:  # noqa: ANN401 — operands are any values
        return recorded(self, fn, f"({name})", (other, self), gives=gives)

    return method


def _refusing(what: str, hint: str) -> Callable[..., NoReturn]:
    def method(self: Promise, *_: object, **__: object) -> NoReturn:
        raise refusal(self, what, hint)

    return method


def _equip() -> None:
    for name in (*_BOTH_WAYS, *_ONE_WAY):
        fn: Function = _NOT_OPERATORS[name] if name in _NOT_OPERATORS else getattr(operator, f"__{name}__")
        setattr(Promise, f"__{name}__", _recording(name, fn))
        if name in _BOTH_WAYS:
            setattr(Promise, f"__r{name}__", _recording_reflected(name, fn))
    for name, (what, hint) in _REFUSED.items():
        setattr(Promise, f"__{name}__", _refusing(what, hint))
    # so that `case [a, b]` asks for the length, and is refused
    collections.abc.Sequence.register(Promise)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]  # an ABC has it, typeshed's protocol does not


_equip()
