"""`validate="always"`: what goes into ops and comes out of them is judged; nothing is converted, nothing is leaked."""

from __future__ import annotations

import enum
import traceback
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NamedTuple, Protocol, TypeVar

import pydantic
import pytest
from pydantic import AfterValidator, BaseModel, Field
from typing_extensions import TypedDict  # pydantic wants this one before Python 3.12

from asyncflow import (
    ConfigurationError,
    Deployment,
    InputError,
    OpStatus,
    OutputError,
    RunFailed,
    RunStatus,
    apply,
    each,
    graph,
    op,
    use,
)

SECRET = "hunter2-" * 4
T = TypeVar("T")

always = Deployment("checked", validate="always")


class Colour(enum.Enum):
    RED = "red"


class Config(BaseModel):
    n: int = 1


class Box(BaseModel, Generic[T]):
    value: T


@dataclass
class Point:
    x: int


class Pair(NamedTuple):
    left: int
    right: str


class Options(TypedDict):
    depth: int


class Opaque:
    """A class pydantic knows nothing of."""


class Sized(Protocol):
    """Something pydantic cannot check."""

    def size(self) -> int:
        """A size."""
        ...


def even(value: int) -> int:
    """A validator that raises something of its own, with the value in it."""
    if value % 2:
        raise KeyError(SECRET)
    return value


class Rude:
    """Its length and class are nobody's business."""

    def __len__(self) -> int:
        raise RuntimeError(SECRET)


def taking(annotation: Any) -> Any:
    """Returns an op with one annotated parameter."""

    async def take(value: Any) -> Any:
        return value

    take.__annotations__ = {"value": annotation}
    return op(take).on(always)


def giving(annotation: Any) -> Any:
    """Returns an op with an annotated result."""

    async def give(value: Any) -> Any:
        return value

    give.__annotations__ = {"return": annotation}
    return op(give).on(always)


class Late(BaseModel):
    """Names a class that is defined nowhere."""

    other: NotDefinedAnywhere  # type: ignore[name-defined]  # noqa: F821 — not defined is the point


FITTING: list[tuple[Any, Any]] = [
    (int, 3),
    (float, 3),
    (str, "a"),
    (bool, True),
    (None, None),
    (int | None, None),
    (list[int], [1, 2]),
    (tuple[int, str], (1, "a")),
    (dict[str, int], {"a": 1}),
    (Mapping[str, int], {"a": 1}),
    (Sequence[int], (1, 2)),
    (set[int], {1}),
    (Config, Config()),
    (Box[int], Box[int](value=3)),
    (list[Box[int]], [Box[int](value=3)]),
    (dict[str, tuple[Config, int]], {"a": (Config(), 1)}),
    (Point, Point(1)),
    (Pair, Pair(1, "a")),
    (Options, {"depth": 1}),
    (Colour, Colour.RED),
    (Path, Path("a")),
    (Literal["a"], "a"),
    (Annotated[int, Field(ge=3)], 3),
    (Opaque, Opaque()),
    (list[Opaque], [Opaque()]),
    (Any, object()),
    (object, object()),
    (Sized, object()),
    ("NotThere", object()),
    (Late, object()),
    (Callable[[int], str], str),
    (Iterable[int], iter([1])),
    (type[Opaque], Opaque),
    (T, 3),
]


@pytest.mark.parametrize(("annotation", "value"), FITTING)
async def test_what_fits_stays_the_very_object(annotation: Any, value: Any) -> None:
    """A value that the annotation describes goes in and out as it is: not converted, copied or consumed."""
    assert await taking(annotation).run(value) is value
    assert await giving(annotation).run(value) is value


MISFITS: list[tuple[Any, Any, str]] = [
    (int, SECRET, r"int.*got str of length 32 \(int_type\)"),
    (int, "3", r"int.*got str of length 1 \(int_type\)"),  # strict: a conversion would hide that the op gets text
    (int, True, r"int.*got bool \(int_type\)"),
    (None, 3, r"None.*got int \(none_required\)"),
    (list[int], [SECRET, 1, SECRET], r"list\[int\].*got list of 3 items \(2 problems: int_type\)"),
    (list[int], (1,), r"list\[int\].*got tuple of 1 items \(list_type\)"),
    (Config, {"n": SECRET}, r"Config.*got dict of 1 items"),
    (Config, {"n": 1}, r"Config.*got dict of 1 items"),  # pydantic alone would make one, also where it is strict
    (dict[str, list[Config]], {"a": [{"n": 1}]}, r"got dict of 1 items"),
    (Box[int], Box[str](value=SECRET), r"Box\[int\].*got Box\[str\] \(int_type\)"),
    (Point, {"x": 1}, r"Point.*got dict of 1 items \(dataclass_exact_type\)"),
    (Options, {"depth": SECRET}, r"Options.*got dict of 1 items \(int_type\)"),
    (Colour, "red", r"Colour.*got str of length 3 \(is_instance_of\)"),
    (Literal["a"], SECRET, r"Literal\['a'\].*\(literal_error\)"),
    (Annotated[int, Field(ge=3)], 2, r"got int \(greater_than_equal\)"),
    (Annotated[int, AfterValidator(even)], 3, r"got int \(its validator raised KeyError\)"),
    (Opaque, SECRET, r"Opaque.*got str of length 32 \(is_instance_of\)"),
    (Iterable[int], 3, r"Iterable\[int\].*got int"),
    (int, Rude(), r"int.*got Rude \(int_type\)"),
]


@pytest.mark.parametrize(("annotation", "value", "message"), MISFITS)
async def test_what_does_not_fit_is_named_and_never_shown(annotation: Any, value: Any, message: str) -> None:
    """The error names op, parameter or result, the type asked for, and type and size of what came; not the value."""
    for made, error, begin in (
        (taking(annotation), InputError, "take takes "),
        (giving(annotation), OutputError, "give promises "),
    ):
        with pytest.raises(error, match=message) as caught:
            await made.run(value)
        text = "".join(traceback.format_exception(caught.value))
        assert str(caught.value).startswith(begin)
        assert "hunter2" not in text
        assert (caught.value.__cause__, caught.value.__context__) == (None, None)


@op
async def number(text: str) -> int:
    """Promises an int, and may break it."""
    return text  # type: ignore[return-value]  # the mistake is the point


@op
def double(x: int, *more: int, factor: int = 2, **flags: bool) -> int:
    """Runs on a thread."""
    return x * factor


async def test_an_edge_between_ops_is_judged() -> None:
    """A result that breaks its promise fails its op, by graph and key; the dependents are abandoned."""

    @graph
    def main(texts: list[str]) -> list[int]:
        return each(double, each(number, texts))

    result = await main.on(always).try_run(["a"])
    assert result.status is RunStatus.FAILED
    assert str(result.errors[0]) == "main/number[0] promises int, and got str of length 1 (int_type) from its function"
    assert result.ops["double[0]"].status is OpStatus.ABANDONED
    with pytest.raises(RunFailed):
        await main.on(always).run(["a"])
    assert await main.on(Deployment("trusting")).run(["a"]) == ["aa"]  # the default looks at the graph's inputs only


async def test_row_13_a_wrong_number_of_outputs() -> None:
    """Row 13: an op that gives more or fewer outputs than it promises is named; whoever needs them is abandoned."""

    @op
    async def halves(n: int) -> tuple[int, int]:
        return tuple(range(n))  # type: ignore[return-value]  # the mistake is the point

    @graph
    def main(n: int) -> int:
        left, right = halves(n)
        return double(left, right)

    assert await main.on(always).run(2) == 0
    for n in (1, 3):
        result = await main.on(always).try_run(n)
        assert str(result.errors[0]).startswith(f"main/halves promises tuple[int, int], and got tuple of {n} items")
        assert isinstance(result.errors[0], OutputError)
        assert result.ops["double"].status is OpStatus.ABANDONED


async def test_every_kind_of_parameter_is_judged() -> None:
    """By position, by name, `*args`, `**kwargs`, results of others; defaults are the author's and are not."""
    checked = double.on(always)
    assert await checked.run(1, 2, 3, factor=3, a=True) == 3
    for args, kwargs, name in (
        (("a",), {}, "x"),
        ((1, 2, "a"), {}, "more"),
        ((1,), {"factor": "a"}, "factor"),
        ((1,), {"a": 3}, "flags"),
    ):
        with pytest.raises(InputError, match=rf"^double takes \w+ as '{name}', and got"):
            await checked.run(*args, **kwargs)

    @op
    async def odd(x: int = "a") -> Any:  # type: ignore[assignment]  # the mistake is the point
        return x

    @graph
    def main() -> int:
        return double(apply(str, 3))

    assert await odd.on(always).run() == "a"
    with pytest.raises(RunFailed) as caught:
        await main.on(always).run()
    assert str(caught.value.exceptions[0]).startswith("main/double takes int as 'x', and got str of length 1")


async def test_methods_children_and_nested_graphs_are_judged() -> None:
    """Wherever an op runs; the instance of a method is not looked at."""

    class Home:
        @op
        async def at(self, x: int) -> int:
            return x

    @op
    async def parent(x: Any) -> Any:
        return await number.run(x)

    @graph
    def inner(x: str) -> int:
        return number(x)

    @graph
    def outer(x: str) -> int:
        return inner(x)

    assert await Home().at.on(always).run(3) == 3
    with pytest.raises(InputError, match="at takes int as 'x'"):
        await Home().at.on(always).run("a")  # type: ignore[arg-type]  # the mistake is the point
    with pytest.raises(OutputError, match=r"^parent/parent/number promises int"):
        await parent.on(always).run("a")
    result = await outer.on(always).try_run("a")
    assert str(result.errors[0]).startswith("outer/inner/number promises int")
    branch = always.branch("b")
    with pytest.raises(OutputError):
        await number.on(branch).run("a")


async def test_a_static_plan_serves_both() -> None:
    """One plan runs in deployments that judge and in ones that do not."""

    @graph(static=True)
    def main(text: str) -> int:
        return number(text)

    for _ in range(2):
        assert await main.run("a") == "a"
        with pytest.raises(RunFailed):
            await main.on(always).run("a")


async def test_resources_are_no_inputs() -> None:
    """A fake of another class will do; an invalid argument is refused before anything is opened."""
    opened: list[str] = []

    async def provider() -> AsyncIterator[Opaque]:
        opened.append("opened")
        try:
            yield Opaque()
        except OutputError:
            opened.append("told")
            raise

    @op
    async def work(x: int, thing: Opaque = use(provider)) -> int:
        return x if x < 5 else "a"  # type: ignore[return-value]  # the mistake is the point

    checked = work.on(always)
    assert await checked.run(1, thing="fake") == 1  # type: ignore[arg-type]  # a fake
    with pytest.raises(InputError):
        await checked.run("a")  # type: ignore[arg-type]  # the mistake is the point
    assert opened == []
    with pytest.raises(OutputError):
        await checked.run(7)
    assert opened == ["opened", "told"]  # what is told to an op's own resources is that it failed
    with always.override(provider, "fake"):
        assert await checked.run(1) == 1


async def test_a_forgotten_await_is_told_as_such() -> None:
    """A coroutine instead of a value is that mistake, not one of types."""

    @op
    async def work(x: int) -> int:
        return double.fn(x) if x else number.fn("a")  # type: ignore[return-value]  # the mistake is the point

    with pytest.raises(TypeError, match="without awaiting it"):
        await work.on(always).run(0)


async def test_adapters_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One for each annotation of an op, whatever copies of it run how often, and for a graph's likewise."""
    made: list[Any] = []
    init = pydantic.TypeAdapter.__init__

    def counted(self: Any, type: Any, **options: Any) -> None:  # noqa: A002 — as pydantic calls it
        made.append(type)
        init(self, type, **options)

    monkeypatch.setattr(pydantic.TypeAdapter, "__init__", counted)

    @op
    async def work(x: list[int]) -> dict[str, int]:
        return {"n": len(x)}

    @graph
    def main(xs: set[int]) -> list[dict[str, int]]:
        return [work([1]), work.options(name="other", tags={"a": "b"})([2]), *[work([x]) for x in xs]]

    for _ in range(3):
        await main.options(name="renamed").on(always).run({1, 2})
        await main.on(always).run({1, 2})
        await work.on(always).run([1])
    assert sorted(map(str, made)) == ["dict[str, int]", "list[int]", "set[int]"]


def test_the_option_is_checked() -> None:
    """Only the two words."""
    for value in ("sometimes", True, None):
        with pytest.raises(ConfigurationError, match="validate must be 'graph' or 'always'"):
            Deployment("d", validate=value)  # type: ignore[arg-type]  # the mistake is the point


async def test_iterators_are_not_consumed_by_looking() -> None:
    """A generator that an op gives is the caller's to read."""

    @op
    def words(text: str) -> Iterator[str]:
        return (word for word in text.split())

    assert list(await words.on(always).run("a b")) == ["a", "b"]


async def test_a_graphs_inputs_are_converted_in_either_mode() -> None:
    """At the edge to the outside: lax, and what pydantic makes of a value is what the body and the ops get."""

    @graph
    def main(x: int, points: list[Point]) -> int:
        return double(x + points[0].x)

    for home in (always, Deployment("d")):
        assert await main.on(home).run("3", [{"x": "4"}]) == 14  # type: ignore[arg-type, list-item]  # as from JSON
        with pytest.raises(InputError, match=r"^main takes int as 'x', and got str of length 32 .*; nothing was start"):
            await main.on(home).run(SECRET, [])  # type: ignore[arg-type]  # the mistake is the point
