"""Identities: run ids, and the rule for names that travel into keys, limits and logs."""

from __future__ import annotations

import os
import time
import unicodedata

from asyncflow.errors import ConfigurationError

NAME_LENGTH = 200
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u
_PAIRS = [high + low for high in _ALPHABET for low in _ALPHABET]  # ten bits at a time


def new_run_id() -> str:
    """Returns a fresh run id: 26 characters, sortable by the millisecond of its making."""
    number = (time.time_ns() // 1_000_000 << 80) | int.from_bytes(os.urandom(10), "big")
    return "".join([_PAIRS[number >> shift & 1023] for shift in range(120, -1, -10)])


def check_name(value: object, *, field: str) -> str:
    """Returns `value` when it can be a name: 1–200 characters, none of them a control character.

    Raises:
        ConfigurationError: naming the field and what is allowed.
    """
    if not isinstance(value, str):
        raise ConfigurationError(f"{field} must be a string, not {type(value).__name__}")
    if not 1 <= len(value) <= NAME_LENGTH:
        raise ConfigurationError(f"{field} must have 1 to {NAME_LENGTH} characters, not {len(value)}")
    for character in value:
        if unicodedata.category(character) in ("Cc", "Cs"):
            raise ConfigurationError(f"{field} may not contain the control character U+{ord(character):04X}")
    return value
