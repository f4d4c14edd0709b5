"""Parcels: values, calls and exceptions as bytes, to our own worker processes and back. Only here is anything pickled.

What cannot be pickled is refused here with its name, before a worker has been disturbed. An exception is sent with its
causes, each by itself; one that cannot be pickled is replaced by a `WorkerRaisedError` that says what it was.
"""

from __future__ import annotations

import io
import pickle
import traceback
from collections.abc import Mapping, Sequence
from typing import Any, Final

from asyncflow._workers.call import RemoteCall
from asyncflow.errors import TransferError, WorkerRaisedError

MOST_CAUSES: Final = 20


def packed(value: object) -> bytes:
    """Returns a value as bytes. Raises whatever pickling it raises."""
    return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)


def unpacked(content: bytes) -> Any:  # noqa: ANN401 — the user's value
    """Returns a value from bytes that this process or its own worker packed."""
    return _Unpickler(io.BytesIO(content)).load()


class _Unpickler(pickle.Unpickler):
    """Reads parcels. What a worker calls `__mp_main__` is the main module of its parent."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:  # noqa: ANN401 — a class, or a function
        """Returns what a parcel names."""
        return super().find_class("__main__" if module_name == "__mp_main__" else module_name, global_name)


def packed_call(
    *,
    address: str,
    call: RemoteCall,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    names: Sequence[str],
    variables: Mapping[str, Any],
    bound: Mapping[str, Any],
) -> bytes:
    """Returns a call as bytes.

    Args:
        address: Where the function stands.
        call: What it may ask about itself.
        args: Its positional arguments.
        kwargs: Its other arguments.
        names: The parameters that `args` go to.
        variables: Values of context variables, by address.
        bound: What structlog has bound in its context.

    Raises:
        TransferError: for an argument or a variable that cannot be sent, naming it.
    """
    told = {key: value if _sendable(value) is None else repr(value) for key, value in bound.items()}
    try:
        return packed((address, call, tuple(args), dict(kwargs), dict(variables), told))
    except Exception as error:
        named = [*zip([*names, *["*args"] * len(args)], args, strict=False), *kwargs.items()]
        for name, value in named:
            problem = _sendable(value)
            if problem is not None:
                raise TransferError(
                    f"{call.graph}/{call.key} runs in a worker process, and its argument {name!r}, of type"
                    f" {type(value).__qualname__}, cannot be sent there: {problem}; give it what to open or build it"
                    " from, or run the op on a thread"
                ) from error
        for name, value in variables.items():
            problem = _sendable(value)
            if problem is not None:
                raise TransferError(
                    f"the context variable {name}, of type {type(value).__qualname__}, cannot be carried into worker"
                    f" processes: {problem}; leave it out of `carry=`"
                ) from error
        raise TransferError(
            f"the call of {call.graph}/{call.key} cannot be sent to a worker process: {error}"
        ) from error


def _sendable(value: object) -> str | None:
    """Returns why a value cannot be sent; None where it can."""
    try:
        packed(value)
    except Exception as error:  # noqa: BLE001 — pickling runs the user's code
        return f"{type(error).__name__}: {error}"
    return None


def packed_error(error: BaseException) -> bytes:
    """Returns an exception as bytes: itself, its causes, and the traceback as text."""
    text = "".join(traceback.format_exception(error))
    causes: list[tuple[BaseException | None, str, bool]] = []
    one: BaseException | None = error
    while one is not None and len(causes) < MOST_CAUSES and all(one is not known for known, _, _ in causes):
        causes.append((one, f"{type(one).__module__}.{type(one).__qualname__}: {one}", one.__cause__ is not None))
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
    return packed(([(_packed_alone(one), said, direct) for one, said, direct in causes], text))


def _packed_alone(error: BaseException | None) -> bytes | None:
    try:
        content = packed(error)
        unpacked(content)
    except Exception:  # noqa: BLE001 — whatever its own code raises
        return None
    return content


def unpacked_error(content: bytes, pid: int) -> BaseException:
    """Returns the exception that a function raised in a worker, with its causes and a note with its traceback."""
    sent, text = unpacked(content)
    errors = [_unpacked_alone(one, said) for one, said, _ in sent]
    for (_, _, direct), error, cause in zip(sent, errors, errors[1:], strict=False):
        if direct:
            error.__cause__ = cause
        else:
            error.__context__ = cause
    errors[0].add_note(f"in worker process {pid}:\n{text.rstrip()}")
    return errors[0]


def _unpacked_alone(content: bytes | None, said: str) -> BaseException:
    if content is not None:
        try:
            error = unpacked(content)
        except Exception:  # noqa: BLE001 — its class may not be there
            error = None
        if isinstance(error, Exception):
            return error
    return WorkerRaisedError(said)
