"""Resource parameters: what a provider may be, what a signature makes of them, and which may use which."""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from asyncflow import ConfigurationError, Deployment, PlanError, each, graph, op, use
from asyncflow._authoring import Resource
from tests._authoring.wired import nodes


class Http:
    """A client."""

    def get(self, url: str) -> str:
        """A page."""
        return f"<{url}>"


async def http() -> AsyncIterator[Http]:
    """A client, opened."""
    yield Http()


async def session(client: Http = use(http, "run", pool="sockets")) -> AsyncGenerator[list[Http], None]:
    """Uses another resource."""
    yield [client]


@op
async def fetch(url: str, *, client: Http = use(http)) -> str:
    """A page by a client."""
    return client.get(url)


@op
def load(url: str, client: Http = use(http), limit: int = 3) -> str:
    """As a plain function, with a resource in the middle."""
    return client.get(url) * limit


class Service:
    """Methods may have resources too."""

    @op
    async def fetch(self, url: str, client: Http = use(http)) -> str:
        """A page."""
        return client.get(url)


def test_a_resource_is_no_input_to_wire() -> None:
    """In a graph the parameter is left out, given by position, or by name; all three are right calls."""

    @graph
    def main(urls: list[str]) -> Any:
        ones = [fetch(urls[0]), fetch(urls[0], client=Http()), Service().fetch(urls[0])]
        return [ones, load(urls[0], Http(), 2), load(urls[0], limit=2), each(fetch, urls)]

    found = nodes(main, ["a"])
    assert found["fetch"].args == ("a",)
    assert found["fetch"].kwargs is None
    assert found["load#2"].kwargs == {"limit": 2}


def test_a_wrong_call_is_still_refused_by_name() -> None:
    """A misspelt resource parameter gets the nearest name, like any other."""

    @graph
    def main() -> Any:
        return fetch("a", cleint=Http())

    with pytest.raises(PlanError, match=r"has no parameter 'cleint'; did you mean 'client'\?"):
        main.plan()


async def test_the_plain_function_takes_a_fake() -> None:
    """Unit tests hand the resource over; without it the error says so, instead of failing somewhere."""
    assert await fetch.fn("a", client=Http()) == "<a>"
    with pytest.raises(AttributeError, match=r"'get' of a resource that is not open: use\(http\).*client=fake"):
        await fetch.fn("a")
    assert not hasattr(use(http), "__wrapped__")


def plain() -> Http:
    return Http()


async def coroutine() -> Http:
    return Http()


def generator() -> Iterator[Http]:
    yield Http()


@asynccontextmanager
async def managed() -> AsyncIterator[Http]:
    yield Http()


async def needy(url: str) -> AsyncIterator[str]:
    yield url


@pytest.mark.parametrize(
    ("provider", "message"),
    [
        (plain, r"plain is a plain function: write `async def`, and `yield`"),
        (coroutine, r"coroutine is an async def without a yield: `yield` the resource instead of returning it"),
        (generator, r"generator is a plain generator: write `async def`"),
        (managed, r"managed is a context manager made of one: leave out @asynccontextmanager"),
        (Http, r"`async def http\(\): … yield …`\), and Http is a class: yield an instance of it"),
        (Http(), r"an object of type Http: yield it"),
        (None, r"an object of type NoneType"),
        (fetch, r"fetch is an op or a graph"),
        (use(http), r"this is use\(http\) already"),
        (needy, r"provider needy takes 'url', and nothing gives it: give it a default, or make it a resource"),
    ],
)
def test_what_is_no_provider_is_refused(provider: Any, message: str) -> None:
    """Only async generator functions all of whose parameters have defaults; everything else is told what to write."""
    with pytest.raises(ConfigurationError, match=message):
        use(provider)
    if provider is not None and not isinstance(provider, Http):
        with pytest.raises(ConfigurationError), Deployment("d").override(provider, http):
            pytest.fail("the block ran")


async def test_a_called_provider_is_refused() -> None:
    """`use(http())`: the function itself is wanted."""
    called = http()
    with pytest.raises(ConfigurationError, match=r"what a call of http\(\) gave: give the function itself"):
        use(called)  # type: ignore[arg-type]  # the mistake is the point
    await called.aclose()  # type: ignore[attr-defined]  # it is a generator


def test_partials_of_providers_are_providers() -> None:
    """Their other parameters are bound."""
    resource: Any = use(functools.partial(needy, url="a"))
    assert isinstance(resource, Resource)
    assert resource.name == "needy"


def test_options_of_use_are_checked() -> None:
    """Scope and pool are named where they do not fit."""
    with pytest.raises(
        ConfigurationError, match=r"scope must be one of 'op', 'run', 'deployment', got 'runs'; did you"
    ):
        use(http, "runs")  # type: ignore[arg-type]  # the mistake is the point
    with pytest.raises(ConfigurationError, match=r"pool of use\(…\)\['db'\] must be a whole number of at least 1"):
        use(http, pool={"db": 0})
    with pytest.raises(ConfigurationError, match=r"a function of the op's parameters belongs to the op"):
        use(http, pool=str)  # type: ignore[arg-type]  # the mistake is the point


def test_resources_are_of_ops_and_providers() -> None:
    """A graph only wires: a resource among its parameters is refused, not silently passed on as a marker."""

    def main(client: Http = use(http)) -> str:
        return fetch("a", client=client)

    with pytest.raises(ConfigurationError, match=r"@graph is on main, which takes use\(http\) as 'client'"):
        graph(main)


def test_a_resource_must_be_given_by_name() -> None:
    """The executor gives it by name."""

    def positional(url: str, client: Http = use(http), /) -> str:
        return client.get(url)

    with pytest.raises(ConfigurationError, match=r"op positional takes use\(http\) as 'client' by position only"):
        op(positional)


def test_a_circle_of_providers_is_refused_by_name() -> None:
    """Defaults set later can close a circle; it is seen where an op names it, with all that are in it."""

    async def a(x: object = None) -> AsyncIterator[int]:
        yield 1

    async def b(x: int = use(a)) -> AsyncIterator[int]:
        yield 2

    async def c(x: int = use(b)) -> AsyncIterator[int]:
        yield 3

    a.__defaults__ = (use(c),)

    def work(x: int = use(b)) -> int:
        return x

    with pytest.raises(ConfigurationError, match=r"op work uses providers that need each other: b → a → c → b"):
        op(work)


def test_an_override_that_needs_itself_is_refused() -> None:
    """A fake that uses what it stands in for would wait for itself."""

    async def fake(real: Http = use(http)) -> AsyncIterator[Http]:
        yield real

    deployment = Deployment("d")
    with (
        pytest.raises(
            ConfigurationError, match=r"override\(http, fake\) uses providers .*: fake for http → fake for http"
        ),
        deployment.override(http, fake),
    ):
        pytest.fail("the block ran")
    assert deployment.overrides == {}


def test_an_override_with_pools_of_its_own_is_refused() -> None:
    """What ops take is known before; a limit that would silently not count is refused."""

    async def other() -> AsyncIterator[Http]:
        yield Http()

    with (
        pytest.raises(ConfigurationError, match="session uses resources that take slots of 'sockets'"),
        Deployment("d").override(other, session),
    ):
        pytest.fail("the block ran")


def test_an_override_by_a_function_is_refused() -> None:
    """Most likely a provider without its `yield`; a function that is the resource is yielded."""
    for fake in (plain, coroutine, Http, functools.partial(plain)):
        with (
            pytest.raises(ConfigurationError, match=r"override\(http, …\) takes a provider, or the object to give"),
            Deployment("d").override(http, fake),  # type: ignore[arg-type]  # the mistake is the point
        ):
            pytest.fail("the block ran")


def test_what_lives_longer_cannot_use_what_lives_shorter() -> None:
    """A deployment's resource cannot hold one of a run; scope `op` inside of a provider means its own."""

    def shorter(x: list[Http] = use(session, "deployment")) -> int:
        return len(x)

    with pytest.raises(
        ConfigurationError, match=r"session → http: a resource of a deployment cannot use use\(http, sc"
    ):
        op(shorter)

    async def owner(client: Http = use(http)) -> AsyncIterator[Http]:
        yield client

    @op
    def fine(x: Http = use(owner, "deployment")) -> None: ...

    assert [resource.name for _, resource in fine.definition.resources] == ["owner"]


def test_pools_of_resources_join_the_ops_own() -> None:
    """Slots add up: the op's own, each resource's, and those of resources that these use, each resource once."""

    @op(pool={"db": 2})
    def work(
        a: list[Http] = use(session, "run", pool="db"),
        b: list[Http] = use(session, "run", pool="db"),
        c: Http = use(http, "run", pool="sockets"),
    ) -> None: ...

    assert work.definition.pool == (("db", 3), ("sockets", 1))
    assert work.options(pool="other").definition.pool == (("other", 1), ("db", 1), ("sockets", 1))
    assert work.options(pool=None).definition.pool == (("db", 1), ("sockets", 1))


def test_a_pool_function_cannot_ask_for_a_resource() -> None:
    """It is asked before anything is open; taking all others by `**` gives it none."""

    def by_client(client: Http) -> str:
        return "db"

    with pytest.raises(ConfigurationError, match=r"pool function of fetch takes 'client', a resource, which is opened"):
        fetch.options(pool=by_client)
    seen: list[dict[str, object]] = []

    def by_all(**given: object) -> str:
        seen.append(given)
        return "db"

    definition = load.options(pool=by_all).definition
    assert definition.ask_pool(["a"], {}) == "db"
    assert seen == [{"url": "a", "limit": 3}]
