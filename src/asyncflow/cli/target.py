"""Finding what is named on the command line: `module:name`, `module:Class.name`, or `file.py:name`.

Modules are looked for in the current directory first, as `python -m` does. A name that does not exist is answered
with the nearest one that does; a module that cannot be imported, with where it breaks.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from asyncflow.cli.terminal import message_of, shown
from asyncflow.deployment import Deployment
from asyncflow.errors import AsyncflowError, ConfigurationError, did_you_mean
from asyncflow.typed_doors import Runnable

_LISTED = 8
"""Names that a message lists."""


def find_runnable(target: str) -> Runnable[..., Any]:
    """Returns the op or graph that `target` names.

    Raises:
        ConfigurationError: telling what is there instead.
    """
    found = _find(target, kind=Runnable, called="graph or op")
    if isinstance(found, Runnable):
        return found  # pyright: ignore[reportUnknownVariableType]  # of any parameters
    advice = "; put @graph on it" if callable(found) and not isinstance(found, type) else ""
    raise ConfigurationError(f"{target} is no graph or op, but {_described(found)}{advice}")


def find_deployment(target: str) -> Deployment:
    """Returns the deployment that `target` names.

    Raises:
        ConfigurationError: telling what is there instead.
    """
    found = _find(target, kind=Deployment, called="deployment")
    if isinstance(found, Deployment):
        return found
    raise ConfigurationError(f"--deployment {target} is no deployment, but {_described(found)}")


def _find(target: str, *, kind: type[Any], called: str) -> object:
    """Returns what a target names."""
    before, colon, path = target.rpartition(":")
    if not colon:
        before, path = target, ""
    if os.name == "nt" and len(before) == 1:  # the colon of a drive
        before, path = target, ""
    module = _imported(_module_name(before), written=before)
    there = [name for name, value in vars(module).items() if isinstance(value, kind)]
    if not path:
        raise ConfigurationError(f"say which {called} of {before}: {_written(before, there, called)}")
    found: object = module
    for name in path.split("."):
        if not hasattr(found, name):
            names = there if found is module and there else [one for one in dir(found) if not one.startswith("_")]
            near = did_you_mean(name, names) or did_you_mean(name, dir(found))
            known = "" if near else f"; {_written(before, there, called)}" if found is module else ""
            place = before if found is module else f"{before}:{path.partition('.' + name)[0]}"
            raise ConfigurationError(f"{place} has no {name!r}{near}{known}")
        found = getattr(found, name)
    return found


def _written(module: str, names: list[str], called: str) -> str:
    """Returns what can be written, or that there is nothing."""
    if not names:
        return f"it has no {called} at its top level"
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return "it has " + ", ".join(f"{module}:{name}" for name in names[:_LISTED]) + more


def _module_name(written: str) -> str:
    """Returns the name of the module that is meant, and makes it importable: the current directory, or a file's."""
    here = Path.cwd()
    _put_first(str(here))
    if not written.endswith(".py"):
        return written
    file = here / written
    if not file.is_file():
        near = did_you_mean(file.name, [one.name for one in file.parent.glob("*.py")] if file.parent.is_dir() else [])
        raise ConfigurationError(f"there is no file {written}{near}")
    inside = file.resolve().is_relative_to(here.resolve())
    relative = file.resolve().relative_to(here.resolve()).with_suffix("") if inside else Path(file.stem)
    if all(part.isidentifier() for part in relative.parts):
        if not inside:
            _put_first(str(file.resolve().parent))
        return ".".join(relative.parts)
    if not file.stem.isidentifier():
        raise ConfigurationError(f"{written} cannot be imported: {file.stem!r} is no name of a module; rename the file")
    _put_first(str(file.resolve().parent))
    return file.stem


def _put_first(folder: str) -> None:
    if sys.path[:1] != [folder]:
        sys.path.insert(0, folder)


def _imported(name: str, *, written: str) -> ModuleType:
    """Imports a module.

    Raises:
        ConfigurationError: where there is none, or it breaks while it is imported.
    """
    if not name or not all(part.isidentifier() for part in name.split(".")):
        raise ConfigurationError(f"{written!r} is no name of a module; write module:graph, or path/to/file.py:graph")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise ConfigurationError(f"there is no module {error.name!r}{_near(error.name)}") from None
        raise ConfigurationError(f"importing {written} failed: {_told(error)}") from error
    except AsyncflowError as error:
        raise ConfigurationError(f"importing {written} failed: {error}") from error
    except Exception as error:
        raise ConfigurationError(f"importing {written} failed: {_told(error)}") from error


def _told(error: BaseException) -> str:
    """Returns an exception on one line, with the place in which it was raised."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
    if isinstance(error, SyntaxError) and error.filename:
        place = f" ({error.filename}:{error.lineno})"
        return f"{type(error).__name__}: {shown(error.msg)}{place}"
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {message_of(error)}{place}"


def _near(name: str) -> str:
    """Returns the nearest module beside the one that is missing, or where was looked."""
    outer, _, last = name.rpartition(".")
    paths: Iterable[str] | None = [str(Path.cwd())]
    if outer:
        paths = getattr(sys.modules.get(outer), "__path__", None)
    beside = [module.name for module in pkgutil.iter_modules(paths)] if paths is not None else []
    near = did_you_mean(last, beside)
    return near or ("" if outer else f" in {Path.cwd()}, nor is one installed")


def _described(found: object) -> str:
    if isinstance(found, type):
        return f"the class {found.__name__}"
    if isinstance(found, ModuleType):
        return f"the module {found.__name__}"
    if callable(found) and hasattr(found, "__name__"):
        return f"the function {found.__name__}"
    return f"a value of type {type(found).__name__}"
