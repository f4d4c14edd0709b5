"""Inputs of a graph, checked against their annotations by pydantic before anything is wired."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asyncflow._authoring.check import Check, check_of, misfit
from asyncflow._authoring.hidden import find_hidden
from asyncflow._authoring.promise import Promise
from asyncflow._authoring.signature import Signature
from asyncflow.errors import InputError


class InputCheck:
    """Checks the inputs of one graph.

    Args:
        graph: The graph's name, for messages.
        signature: Its parameters.
    """

    __slots__ = ("_checks", "_graph", "_signature")

    def __init__(self, graph: str, signature: Signature) -> None:
        self._graph = graph
        self._signature = signature
        self._checks: tuple[Check | None, ...] | None = None

    def values(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, nested: bool = False
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Returns the arguments as the annotations want them.

        Args:
            args: The arguments by position; the call was checked before.
            kwargs: The arguments by name.
            nested: True inside another graph: promises, and what holds one, pass as they are.

        Raises:
            InputError: naming graph, parameter, expected and given type.
        """
        checks = self._checks
        if checks is None:
            checks = self._checks = tuple(
                [None if h is None else check_of(h, strict=False) for h in self._signature.resolve().hints]
            )
        signature = self._signature
        taken = [self._value(checks, signature.place(i), value, nested=nested) for i, value in enumerate(args)]
        named = {
            name: self._value(checks, signature.place_of(name), value, nested=nested) for name, value in kwargs.items()
        }
        return tuple(taken), named

    def _value(self, checks: tuple[Check | None, ...], i: int, value: Any, *, nested: bool) -> Any:  # noqa: ANN401 — any input
        check = checks[i] if i >= 0 else None
        if check is None or type(value) is Promise or (nested and find_hidden(value) is not None):
            return value
        try:
            return check(value)
        except Exception as error:  # noqa: BLE001 — pydantic's, or whatever a validator of the user raised
            found = misfit(value, error)
        # raised here, outside the handler, so that no context carries the value along
        parameter = self._signature.parameters[i].name
        raise InputError(
            f"{self._graph} takes {self._signature.hints[i]} as {parameter!r}, and {found}; nothing was started"
        )
