"""Pools that several processes share: the protocol of a backend, and the backends.

messages   what goes to a backend and what comes back
protocol   what a backend promises, exactly
wire       messages as JSON, for backends whose rules run in the server
"""

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

__all__ = [
    "Batch",
    "Capabilities",
    "Claim",
    "Conflict",
    "Define",
    "Grant",
    "Need",
    "PoolBackend",
    "PoolSpec",
    "PoolView",
    "Quota",
    "Refusal",
    "Release",
    "Reply",
    "Reprioritise",
    "SessionGrant",
    "SessionSpec",
    "Snapshot",
    "TicketView",
    "Usage",
]
