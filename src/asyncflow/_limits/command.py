"""What a round asks of its caller beside starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from asyncflow._limits.claim import Claim


@dataclass(frozen=True, slots=True)
class Deadlocked:
    """No release, timer or reply could start this waiter; it was taken out. `chain` tells who holds and who waits."""

    claim: Claim
    chain: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Gathering:
    """This waiter was passed over too often: from now on free units are kept for it."""

    claim: Claim


@dataclass(frozen=True, slots=True)
class Unparked:
    """A parked claim has its units back, or others in their place, and goes on."""

    claim: Claim


@dataclass(frozen=True, slots=True)
class AskRemote:
    """The local part of this waiter's demand is earmarked: ask the other side for the rest."""

    claim: Claim


@dataclass(frozen=True, slots=True)
class DropTicket:
    """This waiter's earmark is gone: take its ticket back (`ready=False`)."""

    claim: Claim


@dataclass(frozen=True, slots=True)
class ReturnRemote:
    """The other side granted what nobody can use any more: give it back."""

    claim: Claim


Command: TypeAlias = Deadlocked | Gathering | Unparked | AskRemote | DropTicket | ReturnRemote
