"""Pools that several processes share: the protocol of a backend, and the backends.

- `messages`: what goes to a backend and what comes back
- `protocol`: what a backend promises, exactly
- `wire`: messages as JSON, for backends whose rules run in the server
- `rows`, `exchange`, `grants`: the rules in Python, over rows that a backend keeps in its own way
- `memory`, `sqlite`: the backends that use them
- `redis`: the same rules as a script in the server
"""

from asyncflow.pools.address import backend_of
from asyncflow.pools.memory import MemoryPools
from asyncflow.pools.messages import (
    Batch,
    Capabilities,
    Claim,
    Conflict,
    Define,
    Grant,
    Need,
    PoolSpec,
    PoolView,
    Quota,
    Refusal,
    Release,
    Reply,
    Reprioritise,
    SessionGrant,
    SessionSpec,
    Snapshot,
    TicketView,
    Usage,
)
from asyncflow.pools.protocol import PoolBackend
from asyncflow.pools.redis import RedisPools
from asyncflow.pools.sqlite import SQLitePools

__all__ = [
    "Batch",
    "Capabilities",
    "Claim",
    "Conflict",
    "Define",
    "Grant",
    "MemoryPools",
    "Need",
    "PoolBackend",
    "PoolSpec",
    "PoolView",
    "Quota",
    "RedisPools",
    "Refusal",
    "Release",
    "Reply",
    "Reprioritise",
    "SQLitePools",
    "SessionGrant",
    "SessionSpec",
    "Snapshot",
    "TicketView",
    "Usage",
    "backend_of",
]
