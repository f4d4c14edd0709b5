"""A deployment joins a pool backend: what its code says goes there, and `tune` changes it for everybody."""

from __future__ import annotations

from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from asyncflow._executor.spawn import spawned
from asyncflow._leases import Agent, Rhythm
from asyncflow._limits import FOLLOWS, PoolQuotas
from asyncflow.errors import ConfigurationError
from asyncflow.ids import check_name
from asyncflow.options import check_positive
from asyncflow.pools import Batch, Define, PoolBackend, PoolSpec, Quota, SessionSpec, backend_of

if TYPE_CHECKING:
    import asyncio

    from asyncflow._executor.engine import Engine

LONGEST_TTL: Final = 3600.0


@dataclass(frozen=True, slots=True)
class SharedPools:
    """Where a deployment's pools are, and how it keeps in touch.

    Attributes:
        backend: The place.
        namespace: Only deployments of one namespace meet there.
        label: What the process calls itself there.
        rhythm: How often and how long.
    """

    backend: PoolBackend
    namespace: str
    label: str
    rhythm: Rhythm


def shared_pools(
    pools: object,
    *,
    namespace: str,
    label: str | None,
    lease_ttl: float,
    unavailable_after: float,
) -> SharedPools | None:
    """Returns where pools are; None where they are this process's own.

    Raises:
        ConfigurationError: naming the option that does not fit.
    """
    ttl = check_positive(lease_ttl, field="lease_ttl")
    if ttl > LONGEST_TTL:
        raise ConfigurationError(
            f"lease_ttl is {ttl:g} s; slots of a dead process would be away that long; at most 3600"
        )
    patience = check_positive(unavailable_after, field="unavailable_after")
    if pools is None:
        return None
    backend = backend_of(pools) if isinstance(pools, str) else pools
    if not isinstance(backend, PoolBackend):
        raise ConfigurationError(
            f"pools must be a URL such as 'sqlite:///pools.db', or a PoolBackend; {type(pools).__name__} is neither"
        )
    poll = float(getattr(backend, "poll_interval", 2.0))
    name = "" if label is None else check_name(label, field="label")
    return SharedPools(backend, check_name(namespace, field="namespace"), name, Rhythm(ttl, poll, patience))


async def join(engine: Engine, shared: SharedPools, quotas: PoolQuotas) -> Agent:
    """Opens a session for an engine whose core is a `RemoteAdmission`.

    Raises:
        PoolBackendError: where the backend cannot be used.
    """
    remote = engine.remote
    if remote is None:
        raise ConfigurationError("this engine has no pools elsewhere; this is a defect of asyncflow")

    def start(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return spawned(work, name="asyncflow pools")

    session = SessionSpec(
        "new", shared.namespace, shared.rhythm.ttl, label=shared.label, default_limit=quotas.default_limit
    )
    remote.agent = Agent(
        shared.backend,
        session,
        list(specs_of(quotas)),
        rhythm=shared.rhythm,
        listener=remote,
        spawn=start,
    )
    await remote.agent.open()
    remote.joined = True
    return remote.agent


def specs_of(quotas: PoolQuotas, *, prefix: str = "") -> Iterator[PoolSpec]:
    """Yields what code says of pools."""
    for name, quota in quotas.pools.items():
        if quota.limit is not FOLLOWS or quota.per_key is not None:
            yield PoolSpec(prefix + name, Quota(quotas.capacity(name), quota.per_key))


def orders_of(before: PoolQuotas, after: PoolQuotas, *, prefix: str = "") -> Batch | None:
    """Returns what an operator has to ask for so that quotas change; None where nothing does."""
    define: list[Define] = []
    unset: list[str | None] = []
    if before.default_limit != after.default_limit:
        define.append(Define(None, Quota(after.default_limit)))
    for name, quota in after.pools.items():
        known = before.of(name)
        if (known.limit, known.per_key) == (quota.limit, quota.per_key):
            continue
        if quota.limit is FOLLOWS and quota.per_key is None:
            unset.append(prefix + name)
        else:
            define.append(Define(prefix + name, Quota(after.capacity(name), quota.per_key)))
    return Batch(define=tuple(define), unset=tuple(unset)) if define or unset else None
