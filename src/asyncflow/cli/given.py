"""Inputs from the command line and from files, read as the annotations of the graph want them.

`--input key=value`: text, where the annotation takes text (`5` for an int, a path, a date), else JSON (lists,
dicts, models). `--input key:=value` is JSON in any case, which tells `5` from `"5"` where both would fit.
Rejected: guessing a type from the look of the text; `version=1.10` would become a number for an unannotated input
only, and a string elsewhere.
"""

from __future__ import annotations

import collections.abc
import inspect
import json
import re
import sys
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

from asyncflow.cli.terminal import shown
from asyncflow.errors import ConfigurationError, InputError, did_you_mean
from asyncflow.settings import mapping_of_file
from asyncflow.typed_doors import Runnable

_WRITTEN: Final = re.compile(r"([^=:\s]+)(:?=)(.*)", re.DOTALL)
_MANY: Final = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_ITERATED: Final[tuple[object, ...]] = (
    collections.abc.Iterable,
    collections.abc.Iterator,
    collections.abc.Collection,
    collections.abc.Container,
)


@dataclass(frozen=True, slots=True)
class Given:
    """One input as it was written: text of the command line, or a value of a file.

    Args:
        name: The parameter.
        value: The text, or the value.
        kind: `"text"`, `"json"` for text that is JSON in any case, or `"value"`.
    """

    name: str
    value: Any
    kind: str


def read_inputs(written: Sequence[str], file: str | None) -> dict[str, Given]:
    """Returns the inputs by name; what is on the command line replaces what is in the file.

    Raises:
        ConfigurationError: for something that cannot be read, or an input that is given twice.
    """
    found: dict[str, Given] = {}
    if file is not None:
        found = {name: Given(name, value, "value") for name, value in _file(file).items()}
    on_line: set[str] = set()
    for one in written:
        parts = _WRITTEN.fullmatch(one)
        if parts is None:
            raise ConfigurationError(f"--input {shown(one)!r:.60} must be key=value, or key:=JSON")
        name, sign, text = parts.groups()
        if name in on_line:
            raise ConfigurationError(f"--input {name}= is given twice; for a list write JSON: {name}='[1, 2]'")
        on_line.add(name)
        found[name] = Given(name, text, "json" if sign == ":=" else "text")
    return found


def arguments_of(runnable: Runnable[..., Any], given: Mapping[str, Given]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Returns the inputs as a call takes them, each of the type its parameter has.

    Raises:
        InputError: naming the parameter, and what it takes.
    """
    signature = runnable.definition.signature.resolve()
    known = {p.name: i for i, p in enumerate(signature.parameters) if p.kind not in _MANY}
    if runnable.leading:
        del known[signature.parameters[0].name]
    elif runnable.definition.binds == "instance" and next(iter(known), "") in {"self", "cls"}:
        raise ConfigurationError(
            f"{runnable.name} is a method, and there is no instance to call it on: name one, module:instance.method"
        )
    named: dict[str, Any] = {}
    for name, one in given.items():
        place = known.get(name, signature.keyworded)
        if place < 0:
            takes = f"; it takes {', '.join(known)}" if known else "; it takes none"
            raise InputError(f"{runnable.name} has no input {name!r}{did_you_mean(name, known) or takes}")
        hint = signature.hints[place]
        annotation = Any if hint is None else hint.annotation
        named[name] = _value(runnable, one, annotation, "" if hint is None else str(hint))
    by_position: list[Any] = []
    for i, parameter in enumerate(signature.parameters):
        if parameter.kind is parameter.POSITIONAL_ONLY and not (i == 0 and runnable.leading):
            if parameter.name not in named:
                break
            by_position.append(named.pop(parameter.name))
    return tuple(by_position), named


def missing_of(runnable: Runnable[..., Any], given: Mapping[str, object]) -> list[str]:
    """Returns the inputs that are needed and not given, each as it could be written."""
    signature = runnable.definition.signature.resolve()
    found: list[str] = []
    for i, parameter in enumerate(signature.parameters):
        bound = i == 0 and bool(runnable.leading)
        if bound or parameter.kind in _MANY or parameter.default is not parameter.empty or parameter.name in given:
            continue
        hint = signature.hints[i]
        found.append(parameter.name if hint is None else f"{parameter.name}=<{hint}>")
    return found


def _file(name: str) -> dict[str, Any]:
    """Returns the inputs of a JSON or YAML file; `-` is JSON from stdin."""
    if name != "-" and Path(name).suffix.lower() in {".yaml", ".yml"}:
        return mapping_of_file(name, what="a file of inputs")
    called = "stdin" if name == "-" else name
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{name} cannot be read: {error.strerror or type(error).__name__}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{called} is no text in UTF-8") from error
    try:
        read: object = json.loads(text, object_pairs_hook=_without_doubles)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{called} is no JSON: {error}") from error
    if not isinstance(read, dict):
        raise ConfigurationError(f"{called} must be an object of inputs by name, not {type(read).__name__}")
    return cast("dict[str, Any]", read)


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Returns a JSON object; of a key that stands there twice the parser would keep the last in silence."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r:.60} stands there twice; keep one")
    return found


def _value(runnable: Runnable[..., Any], given: Given, annotation: Any, told: str) -> Any:  # noqa: ANN401 — an annotation in, a value out
    """Returns an input of the type its parameter has.

    A graph checks and converts its inputs itself, so that it gets what was written, once it is known that it fits.
    """
    adapter = _adapter(annotation)
    if adapter is None:
        return given.value if given.kind == "value" else _json_or_text(given)
    problem: ValidationError | None = None
    for candidate in _candidates(given, annotation, adapter):
        try:
            converted = adapter.validate_python(candidate)
        except ValidationError as error:
            if problem is None or isinstance(candidate, (list, dict)):  # text that is such JSON was meant as JSON
                problem = error
            continue
        return converted if runnable.single else candidate
    try:
        return adapter.validate_json(json.dumps(given.value) if given.kind == "value" else given.value)
    except (ValidationError, TypeError, ValueError) as error:
        problem = error if isinstance(error, ValidationError) and problem is None else problem
    raise InputError(f"{runnable.name} takes {told or 'another value'} as {given.name!r}{_told(problem, given)}")


def _candidates(given: Given, annotation: Any, adapter: TypeAdapter[Any]) -> list[Any]:  # noqa: ANN401 — an annotation in, values out
    """Returns what an input may mean, the likeliest first."""
    if given.kind == "value":
        return [given.value]
    try:
        parsed: list[Any] = [json.loads(given.value)]
    except (ValueError, RecursionError):
        if given.kind == "json":
            raise InputError(f"--input {given.name}:= is no JSON; text is written with = alone") from None
        parsed = []
    if given.kind == "json":
        return parsed
    if _takes_anything(annotation, adapter):
        return [*parsed, given.value]
    if (typing.get_origin(annotation) or annotation) in _ITERATED:  # text would be taken letter by letter
        return parsed
    return [given.value, *parsed]


def _json_or_text(given: Given) -> Any:  # noqa: ANN401 — any value
    try:
        return json.loads(given.value)
    except ValueError:
        if given.kind == "json":
            raise InputError(f"--input {given.name}:= is no JSON; text is written with = alone") from None
        return given.value


def _takes_anything(annotation: Any, adapter: TypeAdapter[Any]) -> bool:  # noqa: ANN401 — any annotation
    if annotation is Any:
        return True
    try:
        adapter.validate_python(object())
    except ValidationError:
        return False
    return True


def _adapter(annotation: Any) -> TypeAdapter[Any] | None:  # noqa: ANN401 — any annotation
    """Returns what checks an annotation; None where pydantic cannot read it."""
    try:
        return TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True))
    except PydanticUserError:
        pass  # a type with a configuration of its own; it is tried as it is
    except Exception:  # noqa: BLE001 — annotations are arbitrary; one that pydantic cannot read checks nothing
        return None
    try:
        return TypeAdapter(annotation)
    except Exception:  # noqa: BLE001 — as above
        return None


def _told(problem: ValidationError | None, given: Given) -> str:
    """Returns what is wrong with an input, and where in it."""
    if problem is None:
        return ": it does not fit"
    first = problem.errors(include_url=False, include_context=False, include_input=False)[0]
    if first["type"] == "is_instance_of":
        return ", which cannot be written on a command line: call the graph from Python, or give the input a default"
    place = "".join([f"[{part!r}]" for part in first["loc"] if not isinstance(part, str) or part.isidentifier()])
    more = f" (and {problem.error_count() - 1} more problems)" if problem.error_count() > 1 else ""
    return f"; {given.name}{place}: {shown(first['msg'])}{more}"
