"""The address of a function: where another process finds it. `module:qualified name`."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable
from typing import Any

from asyncflow.errors import ConfigurationError

MAIN = "__main__"


def address_of(fn: Callable[..., Any], who: str) -> str:
    """Returns the address of a function, after looking whether it can be found there.

    Raises:
        ConfigurationError: where a worker process would not find it, telling what to write.
    """
    module, name = fn.__module__, fn.__qualname__
    if "<locals>" in name:
        raise ConfigurationError(
            f"{who} runs in a worker process, which imports its function by name, and {name} is made inside another"
            " function; move it to the top of a module"
        )
    main = sys.modules.get(MAIN)
    if module == MAIN and getattr(main, "__file__", None) is None and getattr(main, "__spec__", None) is None:
        raise ConfigurationError(
            f"{who} runs in a worker process, which imports its function by name, and this is an interactive session"
            " or `python -c`; write it to a file and import it from there"
        )
    try:
        found = find(f"{module}:{name}")
    except (ImportError, AttributeError):
        found = None
    if found is not fn:
        raise ConfigurationError(
            f"{who} runs in a worker process, which imports its function by name, and {module}.{name} is"
            f" {'not there' if found is None else 'something else'}; give the function or its op that name there"
        )
    return f"{module}:{name}"


def find(address: str) -> Callable[..., Any]:
    """Returns the function at an address: the plain one, where an op stands there.

    Raises:
        ImportError, AttributeError: where nothing stands there.
    """
    module, _, name = address.partition(":")
    found: Any = sys.modules[module] if module in sys.modules else importlib.import_module(module)
    for part in name.split("."):
        found = inspect.getattr_static(found, part)
    while True:
        inner: Any = getattr(found, "__func__", None) if type(found) in (staticmethod, classmethod) else None
        if inner is None:
            inner = getattr(getattr(found, "definition", None), "fn", None)
        if inner is None:
            function: Callable[..., Any] = found
            return function
        found = inner
