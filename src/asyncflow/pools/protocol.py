"""What a pool backend promises.

A backend is a small state machine in a place where several processes meet: pools, sessions, tickets. It has no thread
of its own. Whoever calls it moves it on: every exchange ends with reaping and a grant pass, so a slot goes straight
from who gives it back to who waits for it.

**State.** A *pool* has a quota, may be paused, and has a fence. Its quota is the explicit one (`define`) if there is
one, else the one that the latest opened session defined, else the default limit of the namespace, which likewise is the
explicit one or that of the latest opened session that is no visitor. A *session* is a
process; it ends when it is closed, or when the server's clock reaches its expiry. A *ticket* belongs to a session and
waits or holds; it goes with its session. How much of a pool is used is the sum over the tickets that hold, and is kept
nowhere else: a number kept beside them drifts from them one day.

**An exchange**, in one step that nobody sees half done: if the session is not there or has expired, nothing is done and
the reply says so. Otherwise what the batch asks, in the order of its fields; then sessions that expired are removed
with all their tickets; then the grant pass; then the reply.

- Everything may be sent again with the same ids and has no further effect. A reply that was lost is asked for again by
  sending the batch again; grants that are not `seen` are told in every reply.
- A ticket is released or cancelled by its own session only; for others, and for tickets that are not there, it is told
  as `gone`. `cancels` of a ticket that was just granted release it. A partial release of the last pool releases all.
- `ready`, `reprioritise` concern waiting tickets of the session and pass by others in silence.
- `revoke` ends anybody's ticket; its owner is told it is `gone` until it releases it.
- A claim whose id is there already is passed by. One that needs more than the limit of a pool that is above 0 is
  refused; if the limit shrinks later, the ticket stays and waits.

**The grant pass** looks at the tickets that wait and are ready in this order: run priority, higher first; those that
gather before the others, by the moment they began to; priority, higher first; the longest age; the order of claims. A
ticket that fits gets everything at once. It fits if each of its pools is not paused and has as much free as it needs,
reserved units not counted as free; the same for each key it names, of which a pool gives `per_key`.

**Gathering** keeps a ticket from being overtaken for ever. At every grant to a ticket that is not nested, for each pool
it names (once) and each run priority from the granted one's upwards, look at the tickets of that run priority that wait
for the pool, are ready, not nested, do not gather, and could be granted if everything were free (no pool paused, no
limit and no `per_key` below a need):

- if the granted one did not gather, and the first of them in order comes before it, the pool's count of *first* for
  that run priority grows;
  at `MAX_OVERTAKES` that ticket gathers, and the count begins at 0;
- then the oldest of those that still do not gather (by age, then the order of claims): if it is the one it was at the
  last count, the count of *oldest* grows, otherwise it is 1; at `MAX_OVERTAKES` that ticket gathers, the count is 0.

Pools are taken in the order of needs, run priorities from low to high. Where no such ticket waits, both counts of that
pool and run priority are dropped (for the second: where none is left). If somebody began to gather, the pass begins
anew after this grant. A gatherer reserves, in its turn of the pass, what is free of its places, scarcest
first (the largest amount/limit; equal ones in the order of needs): all it needs of each, until the first of which there
is not enough, of which it reserves all that is there. One that is not ready, or could not be granted even if everything
were free, reserves nothing. Nested tickets ignore what is reserved. After a pass that granted something while somebody
gathered, another follows, since reservations may have moved.

**Clocks.** All times are the server's. `age` arrives as a duration.

**Errors.** Only `PoolBackendUnavailable` (try again), `SessionLost` (from `watch`), `SchemaMismatch`, `BackendCorrupt`
and `BadRequest`. No exception of a driver, no password in a text.

**Cancellation.** A cancelled call has happened or has not; sending it again is right in both cases, and the next call
on the same object works.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Final, Protocol, runtime_checkable

from asyncflow.pools.messages import (
    Batch,
    Capabilities,
    PoolSpec,
    Reply,
    SessionGrant,
    SessionSpec,
    Snapshot,
)

MAX_OVERTAKES: Final = 64
"""After so many counted grants past it, a ticket gathers."""

SCHEMA_VERSION: Final = 1
"""The version of what a backend keeps. Another one found in a backend is a `SchemaMismatch`."""


@runtime_checkable
class PoolBackend(Protocol):
    """Pools that several processes share; the module's text says exactly what a backend does.

    An object belongs to the event loop that first awaited it. Another thread uses a `twin()`. After a fork the child's
    copy forgets the parent's connections without closing them; the child opens a session of its own.
    """

    @property
    def capabilities(self) -> Capabilities:
        """What this backend can do."""
        ...

    @property
    def name(self) -> str:
        """What messages call it: its address without any secret."""
        ...

    def twin(self) -> PoolBackend:
        """Returns another object for the same place, with connections of its own, to be used by another event loop.

        Twins know each other's sessions: what one opened another may renew, watch and close.
        """
        ...

    async def open(self, session: SessionSpec, pools: Sequence[PoolSpec] = ()) -> SessionGrant:
        """Opens a session and lays down what its code says of pools; creates what is missing in the backend.

        Opening an open session again renews it and changes nothing else, so it may be repeated after a lost reply.
        Two processes may do it at once.

        Raises:
            PoolBackendUnavailable: The backend did not answer.
            SchemaMismatch: What is kept there is of another version, damaged, or not ours.
            BadRequest: The server refuses us for good: wrong password, wrong database, no permission, read-only.
        """
        ...

    async def exchange(self, session_id: str, batch: Batch) -> Reply:
        """Does all of a batch in one transaction and one round trip.

        Raises:
            PoolBackendUnavailable: It may or may not have happened; send it again.
            BackendCorrupt: What is kept cannot be read.
        """
        ...

    def watch(self, session_id: str) -> AsyncGenerator[None, None]:
        """Gives a hint whenever the session may have something to learn; an exchange then tells what it is.

        Hints may be missed, repeated, late, or forged, without harm. One comes at once when watching (again) begins. It
        uses a connection of its own, and makes it again when it breaks; ended by `aclose()` or cancellation.

        Raises:
            BadRequest: The server refuses us for good.
        """
        ...

    async def snapshot(self, namespace: str, *, limit: int = 100, after: int | None = None) -> Snapshot:
        """Returns a page of what a namespace holds; changes nothing, needs no session.

        Raises:
            PoolBackendUnavailable: The backend did not answer.
            BackendCorrupt: What is kept cannot be read.
        """
        ...

    async def close(self, session_id: str) -> None:
        """Ends a session and gives back everything that hangs on it; one that is not there is passed by.

        Raises:
            PoolBackendUnavailable: It may not have happened; it may be called again, or left to the session's expiry.
        """
        ...

    async def disconnect(self) -> None:
        """Closes this object's connections, not the session; it may be used again and connects anew. Never raises."""
        ...
