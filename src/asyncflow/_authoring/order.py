"""Order without data: what `.after(…)` was given, as ids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from asyncflow._authoring.place import Place, told
from asyncflow._authoring.promise import Promise
from asyncflow.errors import TracingError

if TYPE_CHECKING:
    from asyncflow._authoring.wiring import Wiring


def ordered_after(wiring: Wiring, order: tuple[Any, ...], *, who: str, where: Place) -> tuple[int, ...]:
    """Returns the ids of the results in `order`, each once; lists, tuples and dicts of results count as their parts.

    Raises:
        TracingError: for something that is no result.
    """
    ids: dict[int, None] = {}
    pending: list[object] = list(reversed(order))
    while pending:
        value = pending.pop()
        kind = type(value)
        if type(value) is Promise:
            ids[wiring.ref(value).id] = None
        elif kind is list or kind is tuple:
            pending.extend(reversed(cast("list[object]", value)))
        elif kind is dict:
            pending.extend(reversed(cast("dict[object, object]", value).values()))
        else:
            raise TracingError(
                f"`.after(…)` of {who}, called at {told(where)}, was given a value of type {kind.__name__}, which is"
                " there already: it takes results of ops, graphs, `each`, `when` or `apply`"
            )
    return tuple(ids)
