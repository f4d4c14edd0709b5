"""What the core decided beside grants is carried out: who can never start is told so, and a backend is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncflow._executor.block import Block
from asyncflow._executor.ending import settle
from asyncflow._executor.outcome import node_failed
from asyncflow._executor.telling import told_deadlock
from asyncflow._limits import AskRemote, Deadlocked, DropTicket, ReturnRemote
from asyncflow.errors import DeadlockError

if TYPE_CHECKING:
    from asyncflow._executor.engine import Engine


def obey(engine: Engine, now: float) -> None:
    """Carries out what the core decided beside grants."""
    commands = list(engine.core.commands)
    engine.core.commands.clear()
    for command in commands:
        if engine.remote is not None:
            if isinstance(command, AskRemote):
                engine.remote.ask(command.claim)
            elif isinstance(command, DropTicket):
                engine.remote.drop(command.claim)
            elif isinstance(command, ReturnRemote):
                engine.remote.give_back(command.claim)
        if isinstance(command, Deadlocked):
            owner = command.claim.owner
            if isinstance(owner, Block):
                owner.deadlocked(engine, command.chain)
                continue
            frame, i = owner
            frame.claims[i] = None
            frame.open -= 1
            chain, advice = told_deadlock(engine.core, command)
            message = f"{frame.run.graph}/{frame.key(i)} can never start: {' → '.join(chain)}; {advice}"
            node_failed(engine, frame, i, DeadlockError(message, chain=chain), now)
            engine.advance(frame, now)
            if not frame.open:
                settle(engine, frame)
