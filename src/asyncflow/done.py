"""The answer of what takes effect at once."""

from __future__ import annotations

from collections.abc import Generator
from typing import Final


class Done:
    """What was asked for is done already: `await` is allowed and returns at once, without a turn of the loop."""

    __slots__ = ()

    def __await__(self) -> Generator[None, None, None]:
        """Returns None at once."""
        yield from ()

    def __repr__(self) -> str:
        return "<done>"


DONE: Final = Done()
