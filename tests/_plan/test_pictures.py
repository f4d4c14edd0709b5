"""Pictures of plans: what is drawn, where, and that no name can be more than a name."""

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncflow import apply, each, graph, op, when
from asyncflow._plan.drawing import FOLD, draw
from asyncflow._plan.layout import Layout, Point, Size, arrange, rising
from asyncflow._plan.mermaid import mermaid
from asyncflow._plan.picture import MOST, Form, Line, escaped, shortened
from asyncflow._plan.scope import Scope
from asyncflow._plan.svg import svg
from asyncflow._plan.text import text
from asyncflow.options import PER_VALUE, TagLimit
from tests._plan.sketch import Sketch, SketchedPlan

NASTY = [
    '<img src=x onerror="alert(1)">',
    '"];click n0 href "javascript:alert(1)"',
    "</text><script>alert(1)</script>",
    "`**bold**`",
    "a --> b",
    "end",
    "%%{init: {}}%%",
    "a\nb\r\tc",
    "\x1b]0;owned\x07",
    "\u202egnp.exe",
    "\ud800",
    "&lt;#quot;",
    "日本語 ü ß",
]


def diamond() -> SketchedPlan:
    """Load, two sides, join."""
    sketch = Sketch("diamond")
    load = sketch.op("load", pool={"disk": 2}, tags={"kind": "io"})
    left, right = sketch.op("left", load), sketch.op("right", load)
    sketch.output = sketch.op("join", left, right)
    return sketch.plan()


def labels(plan: SketchedPlan) -> list[str]:
    """Returns the labels of everything drawn."""
    return [box.label for box in draw(plan).boxes]


def joined(plan: SketchedPlan) -> list[tuple[str, str]]:
    """Returns the arrows by the labels of their ends."""
    picture = draw(plan)
    return [(picture.boxes[a.start].label, picture.boxes[a.end].label) for a in picture.arrows]


# ------------------------------------------------------------------------------------------------------ what is drawn
def test_a_small_plan_is_drawn_as_it_is() -> None:
    """Every op, every arrow, the result, and what limits an op."""
    picture = draw(diamond())
    assert [box.label for box in picture.boxes] == ["load", "left", "right", "join", "result"]
    assert joined(diamond()) == [
        ("load", "left"),
        ("load", "right"),
        ("left", "join"),
        ("right", "join"),
        ("join", "result"),
    ]
    assert picture.boxes[0].detail == "disk ×2, kind=io"
    assert picture.note == ""


def test_reading_a_part_of_a_result_draws_nothing() -> None:
    """`a, b = split(x)` shows split and who reads it, through any number of such steps; what adds two is drawn."""
    sketch = Sketch("g")
    split = sketch.op("split")
    first, second = sketch.step("item", split), sketch.step("attribute", sketch.step("item#2", split))
    total = sketch.step("add", first, second)
    sketch.op("use", first)
    sketch.output = sketch.op("show", total)
    assert joined(sketch.plan()) == [("split", "add"), ("split", "use"), ("add", "show"), ("show", "result")]


def test_both_gates_of_a_when_are_one_diamond() -> None:
    """The condition leads in, each branch leads out with its answer, and only to what starts it."""
    sketch = Sketch("g")
    size = sketch.op("size")
    yes, no = sketch.gate(size, polarity=True), sketch.gate(size, polarity=False)
    first = sketch.op("shrink", size, gate=yes)
    second = sketch.op("polish", first, gate=yes)
    sketch.output = sketch.merge(size, second, sketch.op("grow", size, gate=no))
    picture = draw(sketch.plan())
    assert [box.label for box in picture.boxes] == ["size", "when", "shrink", "polish", "grow", "either", "result"]
    gates = [(picture.boxes[a.end].label, a.label) for a in picture.arrows if a.line is Line.GATE]
    assert gates == [("shrink", "yes"), ("grow", "no")]
    assert ("size", "either") not in joined(sketch.plan())


def test_order_without_data_is_another_line() -> None:
    """`.after` is dotted."""
    sketch = Sketch("g")
    sketch.op("second", after=(sketch.op("first"),))
    assert [arrow.line for arrow in draw(sketch.plan()).arrows] == [Line.ORDER]
    assert "n0 -.-> n1" in mermaid(sketch.plan())


@pytest.mark.parametrize("count", [1, FOLD, FOLD + 1, 100])
def test_many_items_are_one_stack(count: int) -> None:
    """A few items are drawn one by one, more as one box that counts them; stages stay apart."""
    sketch = Sketch("g")
    items = [sketch.op(f"fetch[{i}]") for i in range(count)]
    cleaned = [sketch.op(f"clean[{i}]", item) for i, item in enumerate(items)]
    sketch.output = sketch.op("total", sketch.collect("list", *cleaned))
    boxes = draw(sketch.plan()).boxes
    ops = [(box.label, box.count) for box in boxes if box.form is Form.OP]
    if count > FOLD:
        assert ops == [("fetch[]", count), ("clean[]", count), ("total", 1)]
        assert f"fetch[] × {count}" in svg(sketch.plan())
    else:
        assert len(ops) == 2 * count + 1


def test_a_list_nobody_reads_is_not_drawn() -> None:
    """Consumers by `each` start per item; the list between two stages is only there for other readers."""
    sketch = Sketch("g")
    fetched = sketch.op("fetch[0]")
    sketch.collect("fetch", fetched)
    sketch.output = sketch.collect("clean", sketch.op("clean[0]", fetched))
    assert labels(sketch.plan()) == ["fetch[0]", "clean[0]", "list", "result"]


def test_a_map_shows_what_it_repeats() -> None:
    """One op is drawn as that op with its pool; several are named, the first few."""
    sketch = Sketch("g")
    found = sketch.op("find")
    sketch.map("fetch[]", found, pool={"web": 1})
    sketch.map("sub[]", found, inner=("sub[]/a", "sub[]/b", "sub[]/c", "sub[]/d", "sub[]/e"))
    one, many = draw(sketch.plan()).boxes[1:]
    assert (one.label, one.detail, one.pool, one.count) == ("fetch[]", "web", "web", 0)
    assert (many.label, many.detail, many.count) == ("sub[]", "a, b, c + 2", 0)
    assert 'n1[["fetch[] × each<br/>web"]]:::map' in mermaid(sketch.plan())


def test_nested_calls_are_frames_inside_frames() -> None:
    """Labels inside a frame leave out its path; a frame with nothing in it is not drawn."""
    sketch = Sketch("g")
    with sketch.scope("sub"):
        with sketch.scope("sub/inner"):
            sketch.op("sub/inner/work")
        with sketch.scope("sub/empty"):
            pass
    picture = draw(sketch.plan())
    assert [(frame.label, frame.parent) for frame in picture.frames] == [("", -1), ("sub", 0), ("inner", 1)]
    assert (picture.boxes[0].label, picture.boxes[0].frame) == ("work", 2)
    assert mermaid(sketch.plan()).splitlines()[1:6] == [
        '  subgraph f1["sub"]',
        '    subgraph f2["inner"]',
        '      n0("work"):::op',
        "    end",
        "  end",
    ]


def test_limits_of_calls_are_drawn_with_their_names() -> None:
    """What is limited by a call is said at its frame, and at the head of the picture for the graph itself."""
    sketch = Sketch("crawl")
    sketch.scopes[0] = Scope(None, "", 4, (TagLimit("kind", "cpu", 2), TagLimit("tenant", PER_VALUE, 1)))
    with sketch.scope("sub"):
        sketch.op("sub/work")
    sketch.scopes[1] = Scope(0, "sub", 2, (TagLimit("kind", None, 3),))
    assert "crawl (at most 4, kind=cpu at most 2, tenant each at most 1)" in svg(sketch.plan())
    assert "sub (at most 2, kind at most 3)" in svg(sketch.plan())
    assert 'subgraph f1["sub (at most 2, kind at most 3)"]' in mermaid(sketch.plan())


def test_the_same_call_for_many_items_is_one_frame() -> None:
    """Frames of items fold as their ops do, with what is nested in them."""
    sketch = Sketch("g")
    for item in range(50):
        with sketch.scope(f"sub[{item}]"), sketch.scope(f"sub[{item}]/inner"):
            sketch.op(f"sub[{item}]/inner/work")
    picture = draw(sketch.plan())
    assert [(frame.label, frame.count) for frame in picture.frames] == [("", 1), ("sub[]", 50), ("inner", 50)]
    assert [(box.label, box.count) for box in picture.boxes] == [("work", 50)]


def test_above_five_hundred_boxes_the_rest_is_counted() -> None:
    """Both formats say how much they leave out."""
    sketch = Sketch("g")
    for number in range(MOST + 1234):
        sketch.op(f"op{number}", *([number - 1] if number else []))
    picture = draw(sketch.plan())
    assert (len(picture.boxes), picture.left_out) == (MOST, 1234)
    assert "1,234 more nodes are not drawn" in svg(sketch.plan())
    assert "1,234 more nodes are not drawn" in mermaid(sketch.plan())


def test_an_empty_plan_has_a_picture() -> None:
    """A graph that only returns a constant."""
    assert ET.fromstring(svg(Sketch("nothing").plan())).tag.endswith("svg")  # noqa: S314 — our own output
    assert mermaid(Sketch("nothing").plan()).startswith("flowchart TB\n")


@pytest.mark.slow
def test_deep_and_wide_plans_are_drawn_without_recursion() -> None:
    """A chain of 30,000, and calls nested 3,000 deep."""
    chain = Sketch("chain")
    for number in range(30_000):
        chain.op(f"op{number}", *([number - 1] if number else []))
    assert "29,500 more nodes" in svg(chain.plan())
    nested = Sketch("nested")
    for depth in range(1, 3_000):
        nested.scopes.append(type(nested.scopes[0])(depth - 1, "/".join(["x"] * 3), None, ()))
    nested.current = 2_999
    nested.op("x/x/x/work")
    assert "work" in svg(nested.plan())
    assert "work" in mermaid(nested.plan())


@op(pool="web")
async def fetch(url: str) -> str:
    """An op for the graph below."""
    return url


@op
def total(lengths: list[int]) -> int:
    """An op for the graph below."""
    return sum(lengths)


@graph(max_concurrent=2)
def measure(url: str) -> int:
    """A nested graph: one op, one step."""
    return apply(len, fetch(url))


@graph
def crawl(urls: list[str]) -> int:
    """A graph with a map over real items, a branch and a nested call."""
    words = total(each(measure, urls))
    return when(words > 20, lambda: words, lambda: measure.options(name="again")("x"))


def test_a_wired_graph_is_drawn() -> None:
    """What the authoring layer wires and the plan freezes is what a picture reads."""
    plan = crawl.plan(["a", "b"])
    boxes = [box.label for box in draw(plan).boxes]
    frames = [(frame.label, frame.detail) for frame in draw(plan).frames]
    assert boxes == ["fetch", "len", "fetch", "len", "list", "total", "when", "fetch", "len", "either", "result"]
    assert frames == [("", ""), ("measure[0]", "at most 2"), ("measure[1]", "at most 2"), ("again", "at most 2")]
    assert set(plan._repr_mimebundle_()) >= {"image/svg+xml", "text/plain"}
    assert ET.fromstring(plan.svg()).tag.endswith("svg")  # noqa: S314 — our own output


# ---------------------------------------------------------------------------------------------------------- names
def named(name: str) -> SketchedPlan:
    """Returns a plan that carries a name everywhere a name can be."""
    sketch = Sketch(name)
    with sketch.scope(name):
        first = sketch.op(name, pool={name: 1}, tags={name: name})
    sketch.output = sketch.step(name, first, sketch.input(name), shown=True)
    return sketch.plan()


def elements(drawing: str) -> Iterator[ET.Element]:
    """Gives every element of a drawing."""
    yield from ET.fromstring(drawing).iter()  # noqa: S314 — our own output


def check_names_are_only_names(name: str) -> None:
    """Fails where a name changed the structure of a picture."""
    plain, drawn = list(elements(svg(named("plain")))), list(elements(svg(named(name))))
    assert [element.tag for element in drawn if "rect" not in element.tag] == [
        element.tag for element in plain if "rect" not in element.tag
    ]
    assert {element.tag.rpartition("}")[2] for element in drawn} <= {
        "svg", "title", "rect", "g", "path", "polygon", "text",
    }  # fmt: skip
    assert {attribute for element in drawn for attribute in element.attrib}.isdisjoint({"href", "style", "class", "id"})
    lines = mermaid(named(name)).splitlines()
    assert len(lines) == len(mermaid(named("plain")).splitlines())
    assert all(line.count('"') in (0, 2) for line in lines)
    assert all(char.isprintable() for line in lines for char in line)


@pytest.mark.parametrize("name", NASTY)
def test_a_nasty_name_is_only_a_name(name: str) -> None:
    """Markup, Mermaid code, control characters and marks of direction are text or nothing."""
    check_names_are_only_names(name)
    for picture in (svg(named(name)), mermaid(named(name))):
        assert not {"\x1b", "\x07", "\u202e", "\ud800", "\r", "\t"} & set(picture)
        assert "<img" not in picture
        assert "<script" not in picture
    first_words = {line.split()[0] for line in mermaid(named(name)).splitlines()}
    assert first_words.isdisjoint({"click", "%%{init:", "link"})


@given(st.text(min_size=1, max_size=40).filter(lambda name: "/" not in name and "[" not in name))
def test_any_name_is_only_a_name(name: str) -> None:
    """No text changes the structure of a picture."""
    check_names_are_only_names(name)


@given(st.text(max_size=60))
def test_escaping_keeps_what_can_be_read(text: str) -> None:
    """An XML reader gets every character back, apart from those without a shape."""
    element = ET.fromstring(f"<a>{escaped(text, '&#')}</a>")  # noqa: S314 — our own output
    read = element.text or ""
    assert len(read) == len(text)
    assert all(a in (b, "\ufffd") for a, b in zip(read, text, strict=True))


def test_long_names_lose_their_middle() -> None:
    """Beginning and end tell names apart."""
    assert shortened("abcdefghij", 10) == "abcdefghij"
    assert shortened("abcdefghijk", 5) == "ab…jk"


# --------------------------------------------------------------------------------------------------------- layout
@st.composite
def scenes(draw_: st.DrawFn) -> tuple[list[Size], list[int], list[int], list[tuple[int, int]]]:
    """Draws boxes, frames in frames, and arrows from earlier to later boxes."""
    frames = draw_(st.integers(1, 5))
    parents = [-1, *[draw_(st.integers(0, frame)) for frame in range(frames - 1)]]
    count = draw_(st.integers(1, 14))
    sizes = [Size(draw_(st.integers(20, 200)), draw_(st.integers(20, 60))) for _ in range(count)]
    frame_of = [draw_(st.integers(0, frames - 1)) for _ in range(count)]
    pairs = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)).filter(lambda pair: pair[0] < pair[1])
    arrows = draw_(st.lists(pairs, max_size=25, unique=True)) if count > 1 else []
    return sizes, frame_of, parents, arrows


def overlap(a: Point, a_size: Size, b: Point, b_size: Size) -> bool:
    """Says whether two rectangles share more than an edge."""
    return (
        a.x < b.x + b_size.width - 0.01
        and b.x < a.x + a_size.width - 0.01
        and a.y < b.y + b_size.height - 0.01
        and b.y < a.y + a_size.height - 0.01
    )


def inside(layout: Layout, corner: Point, size: Size, frame: int) -> bool:
    """Says whether a rectangle lies in a frame."""
    outer, room = layout.frames[frame], layout.frame_sizes[frame]
    return (
        corner.x >= outer.x - 0.01
        and corner.y >= outer.y - 0.01
        and corner.x + size.width <= outer.x + room.width + 0.01
        and corner.y + size.height <= outer.y + room.height + 0.01
    )


@given(scenes())
def test_nothing_overlaps_and_everything_is_in_its_frame(
    scene: tuple[list[Size], list[int], list[int], list[tuple[int, int]]],
) -> None:
    """Boxes and frames keep apart, inside the frames they belong to, in any plan."""
    sizes, frame_of, parents, arrows = scene
    layout = arrange(sizes, frame_of, parents, [0.0] * len(parents), arrows)
    for box, frame in enumerate(frame_of):
        assert inside(layout, layout.boxes[box], sizes[box], frame)
        for other in range(box):
            assert not overlap(layout.boxes[box], sizes[box], layout.boxes[other], sizes[other])
    for frame, parent in enumerate(parents):
        if parent < 0:
            continue
        assert inside(layout, layout.frames[frame], layout.frame_sizes[frame], parent)
        for other in range(1, frame):
            if parents[other] == parent:
                assert not overlap(
                    layout.frames[frame], layout.frame_sizes[frame], layout.frames[other], layout.frame_sizes[other]
                )


@given(scenes())
def test_arrows_inside_one_frame_point_down(
    scene: tuple[list[Size], list[int], list[int], list[tuple[int, int]]],
) -> None:
    """Who comes later stands lower."""
    sizes, _, _, arrows = scene
    layout = arrange(sizes, [0] * len(sizes), [-1], [0.0], arrows)
    for start, end in arrows:
        assert layout.boxes[start].y + sizes[start].height < layout.boxes[end].y


def test_a_circle_of_calls_is_drawn_too() -> None:
    """Two frames may need each other's boxes although no box needs itself: the first goes first."""
    layout = arrange([Size(50, 20)] * 4, [1, 2, 2, 1], [-1, 0, 0], [0.0] * 3, [(0, 1), (2, 3)])
    assert layout.frames[1].y < layout.frames[2].y


@given(st.lists(st.floats(-1e6, 1e6)))
def test_rising_never_falls_and_keeps_what_rises(wanted: list[float]) -> None:
    """The isotonic pass gives a rising row, and changes nothing that rises already."""
    found = rising(wanted)
    assert all(a <= b for a, b in pairwise(found))
    assert rising(sorted(wanted)) == sorted(wanted)


def test_a_picture_is_the_same_every_time() -> None:
    """Plans of equal shape give equal pictures."""
    assert svg(diamond()) == svg(diamond())
    assert mermaid(diamond()) == mermaid(diamond())


# ---------------------------------------------------------------------------------------------------------------- text
def test_text_tells_every_box_once() -> None:
    """A line for each op, calls indented below their names, limits and what is waited for in columns."""
    sketch = Sketch("job")
    load = sketch.op("load", pool={"disk": 2}, tags={"kind": "io"})
    with sketch.scope("sub"):
        inner = sketch.op("sub/clean", load)
    sketch.output = sketch.op("join", inner, after=(load,))
    assert text(sketch.plan()) == (
        "job\n"
        "  ● load     disk ×2, kind=io\n"
        "  ▾ sub\n"
        "    ● clean                    ← load\n"
        "  ● join                       ← sub/clean  after load\n"
        "  ■ result                     ← join\n"
    )


def test_text_says_which_branch_lets_in() -> None:
    """What stands behind a gate names the answer it needs."""

    @op
    async def count(x: int) -> int:
        return x

    @graph
    def chosen(x: int) -> int:
        return when(count(x) > 1, lambda: count(2), lambda: count(3))

    told = chosen.plan(1).text()
    assert [line.split("if ")[1] for line in told.splitlines() if "if " in line] == ["yes", "no"]
    assert "◆ when" in told


@pytest.mark.parametrize("name", NASTY)
def test_text_has_one_line_for_each_name(name: str) -> None:
    """Whatever is in a name, it stays on its line, and commands no terminal."""
    sketch = Sketch(name)
    sketch.output = sketch.op(name)
    told = text(sketch.plan())
    assert told.count("\n") == len(told.splitlines()) == 3
    assert not {"\x1b", "\x07", "\r", "\u202e", "\ud800"} & set(told)


def test_text_of_a_large_plan_says_what_is_left_out() -> None:
    """As every picture, it has at most so many boxes."""
    sketch = Sketch("large")
    for i in range(MOST + 10):
        sketch.op(f"op{i}")
    assert text(sketch.plan()).splitlines()[-1].strip().startswith("10 more nodes are not drawn")
