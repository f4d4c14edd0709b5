"""Limits from files and from the environment, as plain blocks; needs the extra `settings`.

A file is not trusted: it is read with PyYAML's safe loader, up to a size, a depth and a number of values (PyYAML takes
a minute for a megabyte of commas), without aliases (a few lines of them unfold to gigabytes), and a key that stands
there twice is an error instead of a silent choice. JSON in a variable is held to the same. PyYAML and
pydantic-settings are imported where they are needed, since the core must work without them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, cast

from asyncflow.errors import ConfigurationError, did_you_mean

LARGEST: Final = 1024 * 1024
"""Bytes of a file; limits take a few hundred."""

DEEPEST: Final = 32
"""Levels of nesting; limits take five."""

MOST: Final = 20_000
"""Values in a file; limits take a few dozen."""

_NAMES: Final = ("concurrency",)
_LEGACY: Final = ("run_queue", "run_coordinator")
_MOVED: Final = ("max_concurrent_runs", "tag_concurrency_limits", "block_op_concurrency_limited_runs")
_MISSING: Final = "needs PyYAML and pydantic-settings: pip install 'asyncflow-executor[settings]'"


def block_of_file(path: str | Path) -> Mapping[str, Any]:
    """Returns the `concurrency:` block of a YAML file.

    Raises:
        ConfigurationError: where it cannot be read, is no YAML, has no such block, or sets the run queue elsewhere.
    """
    document = mapping_of_file(path)
    for name in _LEGACY:
        for setting in _MOVED:
            if _sets(document.get(name), setting):
                raise ConfigurationError(
                    f"{path}: {name!r} is where older files set {setting!r}; move it to `concurrency:`"
                    " (`runs:`, or `pools: {op_granularity_run_buffer: …}`)"
                )
    if "concurrency" not in document:
        names = ", ".join([repr(name) for name in list(document)[:8]]) or "nothing"
        near = "".join([f"; {name!r} should read 'concurrency'" for name in document if did_you_mean(name, _NAMES)])
        raise ConfigurationError(f"{path} has no `concurrency:` at its top level, only {names}{near}")
    block = document["concurrency"]
    if block is None:
        return {}
    if not isinstance(block, dict):
        raise ConfigurationError(f"{path}: `concurrency:` must be a mapping, not {type(block).__name__}")
    return cast("Mapping[str, Any]", block)


def _sets(older: object, setting: str) -> bool:
    """Tells whether an older block has a limit, directly or below `config:`; naming a class is no limit."""
    if not isinstance(older, dict):
        return False
    block = cast("dict[object, object]", older)
    below = block.get("config")
    return setting in block or (isinstance(below, dict) and setting in cast("dict[object, object]", below))


def mapping_of_file(path: str | Path, *, what: str = "a file of limits") -> dict[str, Any]:
    """Returns the mapping that a YAML file is.

    Args:
        path: The file.
        what: What messages call it.

    Raises:
        ConfigurationError: where it cannot be read, or is no YAML.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            read = file.read(LARGEST + 1)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror or type(error).__name__}") from error
    if len(read) > LARGEST:
        raise ConfigurationError(f"{path} is larger than {LARGEST:,} bytes, too large for {what}")
    try:
        document = _parsed(read, path, what)
    except RecursionError:
        raise ConfigurationError(f"{path} is nested too deeply for {what}") from None
    if not isinstance(document, dict):
        inside = " with `concurrency:` in it" if what == "a file of limits" else ""
        raise ConfigurationError(f"{path} must be a mapping{inside}, not {type(document).__name__}")
    found = cast("dict[object, Any]", document)
    return {str(key): value for key, value in found.items()}


def _parsed(text: bytes, path: Path, what: str) -> object:
    """Returns what a YAML document says.

    Raises:
        ConfigurationError: naming file and line.
    """
    try:
        import yaml  # noqa: PLC0415 — belongs to an extra
    except ImportError:
        raise ConfigurationError(f"reading {path} {_MISSING}") from None
    try:
        depth = 0
        for number, event in enumerate(yaml.parse(text, Loader=yaml.SafeLoader)):
            where = f"{path}{_line(event.start_mark)}"
            if number > MOST:
                raise ConfigurationError(f"{where}: more than {MOST:,} values are too many for {what}")
            if isinstance(event, yaml.AliasEvent):
                raise ConfigurationError(f"{where}: aliases (*{event.anchor:.60}) are not read; write it out")
            if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
                depth += 1
                if depth > DEEPEST:
                    raise ConfigurationError(f"{where}: nested more than {DEEPEST} levels deep")
            elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
                depth -= 1
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        _refuse_doubles(root, path)
        loaded: object = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, LookupError, AttributeError) as error:
        # the safe constructors raise the last two for `!!int ''`, `!!bool x`, `!!timestamp x`
        mark = getattr(error, "problem_mark", None)
        line = _line(mark)
        why = getattr(error, "problem", None) or type(error).__name__
        raise ConfigurationError(f"{path}{line} is no YAML: {why}") from error
    return loaded


def _line(mark: Any) -> str:  # noqa: ANN401 — a mark of PyYAML, or None
    """Returns where something stands in a file."""
    return "" if mark is None else f", line {mark.line + 1}"


def _refuse_doubles(node: Any, path: Path) -> None:  # noqa: ANN401 — a node of PyYAML
    """Refuses a mapping with a key twice, of which YAML loaders keep the last in silence."""
    todo = [node]
    while todo:
        one = todo.pop()
        children: Iterable[Any] = one.value if isinstance(getattr(one, "value", None), list) else ()
        seen: set[str] = set()
        for child in children:
            if not isinstance(child, tuple):
                todo.append(child)
                continue
            key, value = cast("tuple[Any, Any]", child)
            name = str(key.value)
            if name in seen:
                raise ConfigurationError(f"{path}{_line(key.start_mark)}: {name!r:.60} stands there twice; keep one")
            seen.add(name)
            todo.append(value)


def block_of_environment(prefix: str, shape: type[Any]) -> Mapping[str, Any]:
    """Returns the block that environment variables say, `__` between the levels.

    Args:
        prefix: What the variables begin with.
        shape: The model of the block.

    Raises:
        ConfigurationError: for a variable with the prefix that means nothing, and for one that is no JSON.
    """
    try:
        import pydantic_settings  # noqa: PLC0415 — belongs to an extra
    except ImportError:
        raise ConfigurationError(f"reading limits from the environment {_MISSING}") from None
    settings = pydantic_settings.SettingsConfigDict(env_prefix=prefix, env_nested_delimiter="__", extra="forbid")
    reader = type("Environment", (pydantic_settings.BaseSettings,), {"model_config": settings, **_fields(shape)})
    source = pydantic_settings.EnvSettingsSource(reader)
    known = [f"{prefix}{name}".upper() for name in shape.model_fields]
    for variable in sorted(source.env_vars):
        name = variable.upper()
        if not name.startswith(prefix.upper()) or name.partition("__")[0] in known:
            continue
        rest = [one.removeprefix(prefix.upper()) for one in (name, *known)]
        meant = _meant(rest[0], shape)
        if meant is not None:
            raise ConfigurationError(
                f"environment variable {name} is not known; two underscores stand between the levels:"
                f" {prefix.upper()}{meant}"
            )
        if "__" in name or did_you_mean(rest[0], rest[1:]):  # others may be somebody else's
            raise ConfigurationError(f"environment variable {name} is not known{did_you_mean(name, known)}")
    mine = {one: text for one, text in source.env_vars.items() if one.upper().partition("__")[0] in known}
    for variable, text in mine.items():  # each alone first, so that the one that is no JSON can be named
        source.env_vars = {variable: text}
        try:
            if text and text.lstrip()[:1] in {"{", "["}:
                json.loads(text, object_pairs_hook=_without_doubles)
            source()
        except (ValueError, RecursionError) as error:
            why = str(error) if isinstance(error, _TwiceError) else "is no JSON that can be read"
            raise ConfigurationError(
                f"environment variable {variable.upper()} {why}; write JSON, or {prefix}A__B=…"
            ) from error
    source.env_vars = mine
    block: Mapping[str, Any] = _plain(source())
    return block


def _meant(name: str, shape: type[Any]) -> str | None:
    """Returns the variable that one without levels probably stands for: `POOLS_LIMITS`, `MAX_QUEUED`."""
    for top, field in shape.model_fields.items():
        inner = getattr(field.annotation, "model_fields", {})
        if inner and name.startswith(f"{top.upper()}_") and not name.startswith(f"{top.upper()}__"):
            return f"{top.upper()}__{name[len(top) + 1 :]}"
        if name.lower() in inner:
            return f"{top.upper()}__{name}"
    return None


class _TwiceError(ValueError):
    """A key stands twice in one JSON object."""


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Returns a JSON object; of a key that stands there twice the parser would keep the last in silence."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _TwiceError(f"has {key!r:.60} twice; keep one")
        found[key] = value
    return found


def _fields(shape: type[Any]) -> dict[str, Any]:
    """Returns the fields of a model for one that only reads: what they mean is checked afterwards."""
    annotations = {name: field.annotation for name, field in shape.model_fields.items()}
    return {"__annotations__": annotations, **dict.fromkeys(annotations)}


def _plain(value: object) -> Any:  # noqa: ANN401 — what the environment says
    """Returns text of the environment as what it stands for: whole numbers, true and false, none.

    Empty text stays text, and no field takes it: a variable that a template left empty must not lift a limit.
    """
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in cast("dict[str, object]", value).items()}
    if not isinstance(value, str):
        return value
    if re.fullmatch(r"-?[0-9]{1,18}", value):
        return int(value)
    return {"true": True, "false": False, "none": None, "null": None}.get(value.strip().lower(), value)


def named_by_variable(message: str, prefix: str) -> str:
    """Returns a message about a block with the variables in the places of its fields."""

    def variable(found: re.Match[str]) -> str:
        return prefix + found[1].lstrip(".").replace(".", "__").upper()

    return re.sub(r"\bconcurrency((?:\.\w+)+)", variable, message)
