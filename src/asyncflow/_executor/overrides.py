"""Overrides: what stands in for a provider in the runs of a test."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

from asyncflow._authoring import Resource, check_needs, check_provider, no_provider, pools_of, provider_name
from asyncflow._executor.supply import Overrides
from asyncflow.errors import ConfigurationError


def put_instead(provider: object, fake: object, known: Overrides) -> Resource:
    """Returns what stands in for `provider`.

    Args:
        provider: The provider.
        fake: Another one, or the very object to give.
        known: What stands in for others already.

    Raises:
        ConfigurationError: for something that is no provider, and for one that would use itself.
    """
    check_provider(provider, "override(…)")
    name = provider_name(provider)
    if not inspect.isasyncgenfunction(fake):
        if inspect.isroutine(fake) or inspect.isclass(fake) or isinstance(fake, functools.partial):
            raise ConfigurationError(
                f"override({name}, …) takes a provider, or the object to give, and {no_provider(fake)}; where the"
                " function or class itself is the resource, yield it"
            )
        fake = _provider_of(fake, name)
    check_provider(fake, "override(…)")
    instead = Resource(cast("Callable[..., AsyncIterator[Any]]", fake), "op", ())
    overrides = {**known, provider: instead}
    who = f"override({name}, {instead.name})"
    whole = Resource(cast("Callable[..., AsyncIterator[Any]]", provider), "op", ())
    check_needs((("", whole),), who, instead=overrides)
    pools = [pool for pool, _ in pools_of(instead.needs)]
    if pools:
        raise ConfigurationError(
            f"{who}: {instead.name} uses resources that take slots of {', '.join(map(repr, pools))}, and ops take what"
            " the providers in their own signatures ask for; leave `pool=` out there"
        )
    return instead


def _provider_of(value: object, name: str) -> Callable[[], AsyncIterator[object]]:
    async def given() -> AsyncIterator[object]:
        yield value

    given.__name__ = f"{type(value).__name__} for {name}"
    return given
