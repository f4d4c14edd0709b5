"""The boundary of an op: what it takes and gives, judged against the annotations where a deployment asks for that.

A resource is no input, and is not judged: a fake of another class will do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from asyncflow._authoring.check import Check, check_of, misfit
from asyncflow._authoring.hint import Hint
from asyncflow._authoring.resource import Resource
from asyncflow._authoring.signature import Signature
from asyncflow.errors import InputError, OutputError


class Boundary:
    """Judges the values that go into an op and come out of it. Made once for an op and its copies.

    Args:
        signature: The op's parameters and result.
    """

    __slots__ = ("_checks", "_item", "_result", "_signature")

    def __init__(self, signature: Signature) -> None:
        self._signature = signature
        self._checks: tuple[Check | None, ...] | None = None
        self._result: Check | None = None
        self._item: Check | None = None

    def judge_inputs(self, args: Sequence[Any], kwargs: Mapping[str, Any], who: str) -> None:
        """Refuses arguments that do not fit; none is changed.

        Raises:
            InputError: naming the op, the parameter, the type asked for, and type and size of what came.
        """
        signature = self._signature
        checks = self._compiled()
        for position, value in enumerate(args):
            self._judge(checks, signature.place(position), value, who)
        for name, value in kwargs.items():
            self._judge(checks, signature.place_of(name), value, who)

    def judge_output(self, value: Any, who: str) -> None:  # noqa: ANN401 — the user's value
        """Refuses a result that does not fit; it is not changed.

        Raises:
            OutputError: naming the op, the type it promises, and type and size of what it gave.
        """
        self._compiled()
        self._judge_given(self._result, self._signature.returns, value, who)

    def judge_item(self, value: Any, who: str) -> None:  # noqa: ANN401 — the user's value
        """Refuses an item of a source that does not fit; it is not changed.

        Raises:
            OutputError: naming the op, the type it promises, and type and size of what it gave.
        """
        self._compiled()
        returns = self._signature.returns
        self._judge_given(self._item, None if returns is None else returns.item, value, who)

    @staticmethod
    def _judge_given(check: Check | None, promised: Hint | None, value: Any, who: str) -> None:  # noqa: ANN401 — the user's value
        if check is None:
            return
        try:
            check(value)
        except Exception as error:  # noqa: BLE001 — pydantic's, or whatever a validator of the user raised
            found = misfit(value, error)
        else:
            return
        # raised here, outside the handler, so that no context carries the value along
        raise OutputError(f"{who} promises {promised}, and {found} from its function")

    def _judge(self, checks: tuple[Check | None, ...], i: int, value: Any, who: str) -> None:  # noqa: ANN401 — any argument
        check = checks[i] if i >= 0 else None
        if check is None:
            return
        try:
            check(value)
        except Exception as error:  # noqa: BLE001 — as above
            found = misfit(value, error)
        else:
            return
        signature = self._signature
        raise InputError(f"{who} takes {signature.hints[i]} as {signature.parameters[i].name!r}, and {found}")

    def _compiled(self) -> tuple[Check | None, ...]:
        checks = self._checks
        if checks is None:
            signature = self._signature.resolve()
            returns = signature.returns
            self._result = None if returns is None else check_of(returns, strict=True)
            item = None if returns is None else returns.item
            self._item = None if item is None else check_of(item, strict=True)
            checks = self._checks = tuple(
                [
                    None if hint is None or type(parameter.default) is Resource else check_of(hint, strict=True)
                    for parameter, hint in zip(signature.parameters, signature.hints, strict=True)
                ]
            )
        return checks
