"""`asyncflow pools …`: what a pool backend holds, and changing it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from cyclopts import App, Parameter

from asyncflow.cli import pools as tables

app = App(
    name="pools",
    help="Look at pools that several processes share, and change them for all.",
    help_epilogue="Exit codes: 0 done, 1 there is no such pool or ticket, 2 wrong usage, 3 the backend cannot be used.",
)


@Parameter(name="*")
@dataclass(frozen=True)
class Where:
    """Where the pools are.

    Args:
        backend: The address: sqlite:///pools.db, redis://host:6379. By default the variable ASYNCFLOW_POOLS.
        namespace: The namespace: by default a deployment's name.
        json: Write JSON to stdout.
        traceback: Show where an error was raised.
    """

    backend: Annotated[str | None, Parameter(metavar="URL")] = None
    namespace: Annotated[str, Parameter(metavar="NAME")] = "default"
    json: Annotated[bool, Parameter(negative=(), show_default=False)] = False
    traceback: Annotated[bool, Parameter(negative=(), show_default=False)] = False

    def there(self) -> tables.There:
        """Returns the place."""
        return tables.There.of(self.backend, self.namespace, json=self.json)


HERE = Where()


@app.command(name="list")
def list_pools(*, where: Where = HERE) -> int:
    """List all pools: what they give, how much of it is used, and who set it."""
    return tables.list_pools(where.there())


@app.command
def get(pool: str, /, *, where: Where = HERE) -> int:
    """Show one pool, with its holders and waiters.

    Args:
        pool: Its name.
        where: Where the pools are.
    """
    return tables.get_pool(where.there(), pool)


@app.command(name="set")
def set_pool(
    pool: str,
    limit: str,
    /,
    *,
    per_key: Annotated[str | None, Parameter(metavar="LIMIT")] = None,
    default: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
    where: Where = HERE,
) -> int:
    """Set what a pool gives, for everybody and until it is unset. It takes effect at once.

    Args:
        pool: Its name; with --default any word, since the limit is that of pools that nobody has defined.
        limit: A number, or unlimited.
        per_key: What each of its keys gives: a number, or unlimited.
        default: Set the default limit.
        where: Where the pools are.
    """
    return tables.set_pool(where.there(), None if default else pool, limit, per_key)


@app.command
def unset(
    pool: str,
    /,
    *,
    default: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
    where: Where = HERE,
) -> int:
    """Let what the code says of a pool count again.

    Args:
        pool: Its name; with --default any word.
        default: Unset the default limit.
        where: Where the pools are.
    """
    return tables.unset_pool(where.there(), None if default else pool)


@app.command
def pause(pool: str, /, *, where: Where = HERE) -> int:
    """Let nothing more start in a pool; what runs goes on.

    Args:
        pool: Its name.
        where: Where the pools are.
    """
    return tables.pause_pool(where.there(), pool, paused=True)


@app.command
def resume(pool: str, /, *, where: Where = HERE) -> int:
    """Let a paused pool go on.

    Args:
        pool: Its name.
        where: Where the pools are.
    """
    return tables.pause_pool(where.there(), pool, paused=False)


@app.command
def free(
    ticket: str, /, *, yes: Annotated[bool, Parameter(negative=(), show_default=False)] = False, where: Where = HERE
) -> int:
    """Take a ticket away from who has it. Its op, if it lives, is cancelled with LeaseLost.

    Args:
        ticket: The ticket, as holders and waiters show it.
        yes: Do not ask.
        where: Where the pools are.
    """
    return tables.free_ticket(where.there(), ticket, yes=yes)


@app.command
def holders(pool: str | None = None, /, *, where: Where = HERE) -> int:
    """List who holds slots.

    Args:
        pool: Of this pool only.
        where: Where the pools are.
    """
    return tables.list_tickets(where.there(), "held", pool)


@app.command
def waiters(pool: str | None = None, /, *, where: Where = HERE) -> int:
    """List who waits, in the order of their claims.

    Args:
        pool: For this pool only.
        where: Where the pools are.
    """
    return tables.list_tickets(where.there(), "waiting", pool)
