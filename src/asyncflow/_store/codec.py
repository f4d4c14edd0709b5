"""Values as JSON and back: what an annotation says, by pydantic. Never pickle.

A value is kept only where it comes back as it was, and that is tried when it is written: a subclass whose fields the
annotation does not know, a secret that shows stars, a tuple in a `list[Any]` would come back as something else, a day
later and elsewhere. Where nothing is annotated, a value is kept where it is plain JSON.

A value stands in a tuple of one, since pydantic lets the settings below reach dataclasses and typed dicts only inside
of something. Types of your own say how they are kept by `Annotated[T, PlainValidator(…), PlainSerializer(…)]`.
"""

from __future__ import annotations

import collections.abc
import json
import typing
from collections.abc import Callable
from typing import Any, Final, cast
from weakref import WeakKeyDictionary

from pydantic import ConfigDict, TypeAdapter

from asyncflow._authoring import Hint, OpDefinition, Signature, size, stripped
from asyncflow._store.fidelity import same
from asyncflow.errors import ResultNotStorable

LARGEST: Final = 256 * 1024 * 1024
"""Characters of one value; what is larger belongs into a file whose path is given."""

_SETTINGS: Final = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64", ser_json_inf_nan="strings")
_PLAIN: Final = frozenset({int, str, bool, type(None)})
_ONCE: Final = (
    collections.abc.Iterable,
    collections.abc.Iterator,
    collections.abc.Generator,
    collections.abc.AsyncIterable,
    collections.abc.AsyncIterator,
    collections.abc.AsyncGenerator,
    typing.get_origin(Callable[..., Any]),
)


class UnfitError(Exception):
    """A value, or a type, cannot be kept. Says why, without the value."""


class Codec:
    """How values of one annotation are kept.

    Args:
        hint: The annotation; None where there is none.

    Attributes:
        problem: Why nothing of this annotation can be kept; empty where it can.
    """

    __slots__ = ("_adapter", "_exact", "hint", "problem")

    def __init__(self, hint: Hint | None) -> None:
        self.hint = hint
        self.problem = ""
        self._adapter: TypeAdapter[tuple[Any]] | None = None
        annotation: Any = None if hint is None else hint.annotation
        self._exact: Any = (type(None) if annotation is None else annotation) if hint is not None else None
        if hint is not None:
            self._compile(annotation)

    def _compile(self, annotation: Any) -> None:  # noqa: ANN401 — an annotation may be any object
        bare = stripped(annotation)
        if (typing.get_origin(bare) or bare) in _ONCE:
            self.problem = "it can be read only once, or is code"
            return
        try:
            one: Any = tuple.__class_getitem__((annotation,))
            adapter: TypeAdapter[tuple[Any]] = TypeAdapter(one, config=_SETTINGS)
            if not adapter.pydantic_complete and not adapter.rebuild(raise_errors=False):
                self.problem = "it names what is defined nowhere"
                return
        except Exception as error:  # noqa: BLE001 — annotations are arbitrary code
            self.problem = f"pydantic has no schema for it ({type(error).__name__})"
            return
        self._adapter = adapter

    def written(self, value: Any) -> str:  # noqa: ANN401 — any value
        """Returns a value as JSON.

        Raises:
            UnfitError: where it would not come back as it was.
        """
        kind = cast("type[object]", type(value))
        if kind in _PLAIN and (self.hint is None or (kind is self._exact and (kind is not str or value.isascii()))):
            return json.dumps([value])
        text = self._plain(value) if self._adapter is None else self._typed(self._adapter, value)
        if len(text) > LARGEST:
            raise UnfitError(f"it has {len(text):,} characters as JSON, more than {LARGEST:,}")
        return text

    def _plain(self, value: Any) -> str:  # noqa: ANN401 — any value
        if self.problem:
            raise UnfitError(self.problem)
        if not _is_json(value):
            raise UnfitError("it is not plain JSON, and nothing says what it is")
        try:
            return json.dumps([value])
        except (ValueError, RecursionError):  # a list that has itself in it
            raise UnfitError("it goes round in circles, or too deep") from None

    def _typed(self, adapter: TypeAdapter[tuple[Any]], value: Any) -> str:  # noqa: ANN401 — any value
        try:
            text = adapter.dump_json((value,), warnings="error")
            back = adapter.validate_json(text)[0]
        except Exception as error:  # noqa: BLE001 — pydantic's, or whatever a serializer of the user raised
            raise UnfitError(f"pydantic cannot write and read it as that ({type(error).__name__})") from None
        if not same(value, back):
            raise UnfitError("it would come back as something else")
        return text.decode()

    def read(self, text: str) -> Any:  # noqa: ANN401 — the user's value
        """Returns a value from JSON.

        Raises:
            UnfitError: where it does not fit the annotation as it is now.
        """
        try:
            return json.loads(text)[0] if self._adapter is None else self._adapter.validate_json(text)[0]
        except Exception as error:  # noqa: BLE001 — pydantic's, or whatever a validator of the user raised
            raise UnfitError(f"what is kept does not fit {self.hint} ({type(error).__name__})") from None


def _is_json(value: object) -> bool:
    """Returns whether a value is of what JSON has, and of nothing that is only like it."""
    todo: list[object] = [value]
    seen: set[int] = set()
    while todo:
        one = todo.pop()
        if type(one) in (list, dict):
            if id(one) in seen:
                continue  # looked at already; what has itself in it is refused when it is written
            seen.add(id(one))
        if type(one) is list:
            todo.extend(cast("list[object]", one))
        elif type(one) is dict:
            named = cast("dict[object, object]", one)
            if any(type(name) is not str for name in named):
                return False
            todo.extend(named.values())
        elif type(one) not in _PLAIN and type(one) is not float:
            return False
    return True


_codecs: WeakKeyDictionary[Signature, Codec] = WeakKeyDictionary()


def codec_of(op: OpDefinition) -> Codec:
    """Returns how the results of an op are kept, made at first use."""
    found = _codecs.get(op.signature)
    if found is None:
        found = _codecs[op.signature] = Codec(op.signature.resolve().returns)
    return found


def refuse_unstorable(op: OpDefinition, who: str, store: str) -> None:
    """Refuses an op whose annotation says that nothing it gives can be kept.

    Raises:
        ResultNotStorable: naming the op, its type, and what to do.
    """
    if op.mode != "stream" and (codec := codec_of(op)).problem:
        raise ResultNotStorable(
            f"{who} gives {codec.hint}, which cannot be kept in the store {store}: {codec.problem}; {ADVICE}"
        )


def output_of(op: OpDefinition, value: Any, who: str) -> str:  # noqa: ANN401 — the user's value
    """Returns what an op gave as JSON.

    Raises:
        ResultNotStorable: naming the op, its type, type and size of what it gave, and what to do.
    """
    codec = codec_of(op)
    try:
        return codec.written(value)
    except UnfitError as unfit:
        why = str(unfit)
    gives = "has no annotation of its result" if codec.hint is None else f"gives {codec.hint}"
    # raised here, outside the handler, so that no context carries the value along
    raise ResultNotStorable(f"{who} {gives}, and {size(value)} cannot be kept in the store: {why}; {ADVICE}")


ADVICE: Final = (
    "annotate the result with a type that pydantic can write and read as JSON (a dataclass, a model,"
    " Annotated[T, PlainValidator(…), PlainSerializer(…)]), or give back a path or an id"
)
