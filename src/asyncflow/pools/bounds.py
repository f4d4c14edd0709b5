"""What every backend can keep: bounds of numbers and texts, checked where a message is made."""

from __future__ import annotations

from typing import Final

from asyncflow.errors import BadRequest

MOST: Final = 2**31 - 1
"""The largest amount, limit or priority."""

LONGEST_NAME: Final = 1024


def check_name(name: str, what: str, *, empty: bool = False) -> None:
    """Refuses a name that not every backend could keep as it is.

    Raises:
        BadRequest: naming `what`.
    """
    if not name and not empty:
        raise BadRequest(f"{what} has an empty name")
    check_text(name, what)


def check_text(text: str, what: str) -> None:
    """Refuses text that not every backend could keep as it is.

    Raises:
        BadRequest: naming `what`.
    """
    if len(text) > LONGEST_NAME:
        raise BadRequest(f"{what} has {len(text)} characters, beginning {text[:40]!r}; {LONGEST_NAME} are possible")
    if "\0" in text:
        raise BadRequest(f"{what} {text!r:.80} has a NUL character, which PostgreSQL cannot keep; leave it out")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadRequest(f"{what} {text!r:.80} has half of a surrogate pair; give text that UTF-8 can write") from None


def check_limit(limit: int | None, what: str) -> None:
    """Refuses what is no limit.

    Raises:
        BadRequest: naming `what`.
    """
    if limit is not None and (type(limit) is not int or not 0 <= limit <= MOST):
        raise BadRequest(f"{what} {limit!r}: must be None (unlimited) or a whole number from 0 (paused) to {MOST}")
