"""What may be decorated, and what is said of everything else."""

# ruff: noqa: ARG005 — lambdas have the parameters that are judged

from __future__ import annotations

import asyncio
import functools
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from asyncflow import AsyncOp, ConfigurationError, Graph, PlanError, SyncOp, each, graph, op


async def coroutine_function(url: str) -> str:
    return url


def function(url: str) -> str:
    return url


def generator(url: str) -> Iterator[str]:
    yield url


async def async_generator(url: str) -> AsyncIterator[str]:
    yield url


class Class:
    """A class."""

    def method(self, url: str) -> str:
        return url

    @staticmethod
    def static(url: str) -> str:
        return url


class Callable_:  # noqa: N801 — an object that can be called
    def __call__(self, url: str) -> str:
        return url


def test_what_may_be_an_op() -> None:
    """`async def` runs on the loop, `def` on a thread; functions that were wrapped, and built-in ones, too."""

    @functools.wraps(coroutine_function)
    async def wrapped(*args: Any, **kwargs: Any) -> Any:
        return await coroutine_function(*args, **kwargs)

    modes = [(type(op(fn)), op(fn).definition.mode) for fn in (coroutine_function, function, wrapped, len)]
    assert modes == [(AsyncOp, "async"), (SyncOp, "thread"), (AsyncOp, "async"), (SyncOp, "thread")]
    assert type(op()(function)) is SyncOp
    assert type(op(runs_in="thread")(function)) is SyncOp
    assert op(function).definition.where == (__file__, function.__code__.co_firstlineno)
    assert str(op(wrapped).definition.signature) == "(url)"


def test_what_may_be_a_graph() -> None:
    """A plain function, with or without parentheses, under its own or another name."""
    assert [type(graph(function)), type(graph()(function))] == [Graph, Graph]
    assert (graph(function).name, graph(name="crawl")(function).name) == ("function", "crawl")
    assert repr(graph(function)) == "<Graph function>"


WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "class": (lambda: Class, r"takes a function, and Class is a class; write a `def` .*`apply\(Class, …\)`"),
    "lambda": (lambda: lambda url: url, r"a lambda has none; write a `def`, or a step: `apply\(lambda …, x\)`"),
    "partial": (
        lambda: functools.partial(function, "a"),
        r"is a partial of function; write a `def` that calls function",
    ),
    "coroutine": (
        lambda: coroutine_function("a"),
        r"the coroutine that coroutine_function\(…\) returned; .*`op\(corou",
    ),
    "generator object": (lambda: generator("a"), r"is given generator of type generator, which a call returned"),
    "async generator object": (lambda: async_generator("a"), r"of type async_generator, which a call returned"),
    "generator": (lambda: generator, r"is on generator, a generator, and gives one value; return a list"),
    "bound method": (lambda: Class().method, r"method is a bound method; put @op on the method .*`self\.method\(…\)`"),
    "property": (lambda: property(function), r"stands above @property, which takes no arguments; write a method"),
    "class method that is an op": (lambda: classmethod(op(function)), r"is given function, which is an op or a graph"),
    "op": (lambda: op(function), r"is given function, which is an op or a graph already; one decorator is enough"),
    "graph": (lambda: graph(function), r"is given function, which is an op or a graph already"),
    "object": (Callable_, r"an object of type Callable_; write a `def` that calls Callable_"),
    "number": (lambda: 3, r"takes a function, not int"),
    "nothing": (lambda: "fetch", r"takes a function, not str"),
    "built-in without parameters": (lambda: max, r"max does not tell its parameters; write a `def`"),
}


@pytest.mark.parametrize("name", list(WRONG))
def test_what_may_not_be_decorated(name: str) -> None:
    """Everything that is no function is named, with what to write; a coroutine made by mistake gives no warning."""
    make, message = WRONG[name]
    with pytest.raises(ConfigurationError, match=f"^@op.*{message}"):
        op(make())
    if name != "built-in without parameters":
        with pytest.raises(ConfigurationError, match=r"^@graph"):
            graph(make())


def test_an_async_generator_is_an_op_and_no_graph() -> None:
    """Given an async generator: as an op it is a source; as a graph it is refused, with what to write."""
    assert op(async_generator).definition.mode == "stream"
    with pytest.raises(ConfigurationError, match=r"^@graph is on async_generator, an async generator.*put @op on it"):
        graph(async_generator)


async def test_an_awaited_coroutine() -> None:
    """One that ran already is no function either."""
    done = coroutine_function("a")
    await done
    with pytest.raises(ConfigurationError, match=r"the coroutine that coroutine_function\(…\) returned"):
        op(done)
    assert isinstance(done, Awaitable)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: op(runs_in="thread")(coroutine_function),
            r"an async def, which runs on the event loop; leave runs_in",
        ),
        (
            lambda: op(runs_in="moon")(function),
            r"runs_in of function must be 'thread', 'process', or an object .* got 'moon'",
        ),
        (lambda: op(pool=3)(function), r"pool must be a name"),
        (lambda: op(pool={"db": 0})(function), r"pool\['db'\] must be a whole number of at least 1"),
        (lambda: op(pool="@db")(function), r"may not begin with '@'"),
        (lambda: op(tags={"a": 1})(function), r"tags\['a'\] must be a string"),
        (lambda: op(priority=True)(function), r"priority must be a whole number, not bool"),
        (lambda: op(expected=-1)(function), r"expected must be finite and above 0"),
        (lambda: op(expected=float("nan"))(function), r"expected must be finite"),
        (
            lambda: op(pool=lambda uri: "db")(function),
            r"takes 'uri', which is no parameter of function\(url\); did you mean",
        ),
        (
            lambda: op(pool=lambda *args: "db")(function),
            r"takes 'args' by position: it gets the op's parameters by name",
        ),
        (lambda: op(function).options(pool=lambda uri: "db"), r"takes 'uri', which is no parameter of function"),
        (lambda: op(function).options(name="a/b"), r"the name of function 'a/b' may not contain / \[ \] #"),
        (lambda: op(function).options(name="(a"), r"nor begin with '\('"),
        (lambda: op(function).options(name=""), r"must have 1 to 200 characters"),
        (lambda: graph(name="a#2")(function), r"the name of a graph 'a#2' may not contain"),
        (lambda: graph(function).options(name="a[0]"), r"may not contain"),
        (lambda: graph(max_concurrent=-1)(function), r"max_concurrent must not be negative"),
        (
            lambda: graph(function).options(max_concurrent=1.5),
            r"max_concurrent must be a whole number or None, not float",
        ),
        (lambda: graph(static="no")(function), r"static must be True or False, not str"),
        (lambda: graph(static=1)(function), r"static must be True or False, not int"),
        (lambda: graph(static=None)(function), r"static must be True or False, not NoneType"),
        (
            lambda: op(function).options(map_key=3),
            r"map_key of function must be a plain function .*, not a value of type i",
        ),
        (lambda: graph(function).options(map_key="url"), r"map_key of function must be .*, not a value of type str"),
        (lambda: op(function).options(map_key=coroutine_function), r"map_key of function must be .*, not an async def"),
        (lambda: op(pool=coroutine_function)(function), r"the pool function of function is an async def, and nothing"),
        (lambda: graph(on_error="stop")(function), r"on_error must be 'continue' or 'fail_fast'"),
        (lambda: graph(function).options(weight=0), r"weight must be finite and above 0"),
        (lambda: graph(function).on("prod"), r"function\.on\(…\) takes a Deployment, not str"),
        (lambda: graph(deployment="prod")(function), r"@graph\(deployment=…\) takes a Deployment, not str"),
    ],
)
def test_options_that_do_not_fit(make: Callable[[], Any], message: str) -> None:
    """Each is refused where it is given, naming the field."""
    with pytest.raises(ConfigurationError, match=message):
        make()


def test_a_pool_function_may_have_defaults_of_its_own() -> None:
    """A parameter with a default need not be one of the op's."""
    limited = op(pool=lambda url, *, region="eu": f"{region}-{url}")(function)
    assert limited.definition.ask_pool(("a",), {}) == "eu-a"


class Home:
    """Ops and graphs that belong to a class, in all orders of decorators."""

    @op
    @classmethod
    async def of_class(cls, n: int = 7) -> Any:
        return cls.__name__, n

    @op
    @staticmethod
    def of_none(n: int) -> Any:
        return n

    @staticmethod
    @op
    async def of_none_above(n: int) -> Any:
        return n

    @classmethod
    @op
    async def of_class_above(cls, n: int = 8) -> Any:
        return cls.__name__, n

    @graph
    @classmethod
    def wires(cls, n: int) -> Any:
        return cls.of_class(n), each(cls.of_class, [n]), cls.of_none(n), cls.of_none_above(n)

    @graph
    @classmethod
    def wires_above(cls, n: int) -> Any:
        return cls.of_class_above(n), each(cls.of_class_above, [n])

    @graph(static=True)
    @classmethod
    def wired_once(cls, n: int) -> Any:
        return cls.of_class(n)

    @op
    async def of_instance(self, n: int) -> Any:
        return await self.of_class.run(n), await self.of_none.run(n), await type(self).of_class.run(n)


class Heir(Home):
    """What it inherits is called with this class."""


def test_class_methods_and_static_methods() -> None:
    """`@op` and `@graph` above `@classmethod` bind the class, from it and from an instance; static ones nothing."""

    async def main() -> Any:
        return [
            await Home.of_class.run(3),
            await Heir.of_class.run(),
            await Heir().of_class.options(name="other").run(3),
            await Heir.of_none.run(3),
            await Heir().of_none.run(3),
            await Heir().of_none_above.run(3),
            await Heir.wires.run(1),
            await Heir().wires.run(1),
            await Heir().wired_once.run(1),
            await Heir().of_instance.run(1),
            Heir.of_none.fn(4),
            await Heir.of_class.fn(4),
        ]

    wires = (("Heir", 1), [("Heir", 1)], 1, 1)
    expected = [
        ("Home", 3),
        ("Heir", 7),
        ("Heir", 3),
        3,
        3,
        3,
        wires,
        wires,
        ("Heir", 1),
        (("Heir", 1), 1, ("Heir", 1)),
        4,
        ("Heir", 4),
    ]
    assert asyncio.run(main()) == expected


def test_classmethod_above_op() -> None:
    """It wires with its class everywhere. To `.run` Python gives the class up to 3.12; later that is refused."""
    assert asyncio.run(Heir.wires_above.run(1)) == (("Heir", 1), [("Heir", 1)])
    for args in ((), (3,)):
        if sys.version_info < (3, 13):
            assert asyncio.run(Heir.of_class_above.run(*args)) == ("Heir", *(args or (8,)))
        else:
            message = re.escape("is a class method of Home and was given no class: put @op above @classmethod")
            with pytest.raises(PlanError, match=message):
                asyncio.run(Heir.of_class_above.run(*args))
    assert asyncio.run(Home.__dict__["of_class_above"].__func__.run(Heir, 3)) == ("Heir", 3)


def test_a_parameter_called_cls_is_no_class_outside_of_one() -> None:
    """Only a method can be a class method."""

    @op
    async def styled(cls: str) -> str:
        return cls

    assert asyncio.run(styled.run("bold")) == "bold"


def test_what_is_bound_stays_bound() -> None:
    """As with Python's own methods, a bound op or graph that is kept in another class keeps its receiver."""

    class Other:
        borrowed = Heir.of_class
        of_one = Heir().of_instance
        wires = Heir().wires

    async def main() -> Any:
        return await Other().borrowed.run(1), await Other().of_one.run(2), await Other.wires.run(3)

    expected = (("Heir", 1), (("Heir", 2), 2, ("Heir", 2)), (("Heir", 3), [("Heir", 3)], 3, 3))
    assert asyncio.run(main()) == expected
