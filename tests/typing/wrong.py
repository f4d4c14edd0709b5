"""Wrong uses: both checkers must report every line that ends in `# error`, and no other. Checked, never run.

An `Outcome`, a promise of a list, an option, a door: each mistake here is one that people make.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from asyncflow import Deployment, Graph, Outcome, TagLimit, apply, each, graph, op, use, when
from asyncflow.assets import asset


@dataclass
class Page:
    """What is fetched."""

    url: str
    size: int


@op
async def fetch(url: str, *, depth: int = 0) -> Page:
    return Page(url, depth)


@op(pool="cpu")
def count(page: Page, factor: int = 1) -> int:
    return page.size * factor


@op
async def total(counts: list[int]) -> int:
    return sum(counts)


@op
async def pair(url: str) -> tuple[int, str]:
    return len(url), url


@op(pool=3)  # error
async def bad_pool(url: str) -> str:
    return url


@op(tags={"kind": 3})  # error
async def bad_tags(url: str) -> str:
    return url


@op(priority="high")  # error
async def bad_priority(url: str) -> str:
    return url


@op(colour="red")  # error
async def bad_option(url: str) -> str:
    return url


@op(runs_in="process_of_another_kind")  # error
def bad_place(url: str) -> str:
    return url


@graph(on_error="explode")  # error
def bad_on_error(url: str) -> str:
    return url


@graph(max_concurrent="4")  # error
def bad_cap(url: str) -> str:
    return url


@graph(tag_concurrency_limits=[("kind", 2)])  # error
def bad_rules(url: str) -> str:
    return url


async def text() -> AsyncIterator[str]:
    yield "a"


async def not_yielding() -> str:
    return "a"


def not_async() -> str:
    return "a"


async def needy(url: str) -> AsyncIterator[str]:
    yield url


@op
async def bad_resource(url: str, size: int = use(text)) -> str:  # error
    return url


@op
async def right_resource(url: str, size: str = use(text)) -> str:
    return url


bad_validate = Deployment("d", validate="sometimes")  # error
bad_scope: str = use(text, "runs")  # error
bad_use_pool: str = use(text, pool=3)  # error
bad_kind: str = use(not_yielding)  # error
bad_plain: str = use(not_async)  # error
bad_class: Page = use(Page)  # error
bad_call: str = use(text())  # error
bad_needs: str = use(needy)  # error


@graph
def resources(url: str) -> None:
    right_resource(url, size=3)  # error
    right_resource(url, siez="a")  # error


async def overrides(prod: Deployment) -> None:
    with prod.override(not_async, text):  # error
        await right_resource.run("a")
    with prod.override(text):  # error
        await right_resource.fn("a", size=3)  # error


@graph
def single(url: str) -> int:
    return count(fetch(url))


@graph(static=True)
def score(url: str, weight: int = 2) -> int:
    return count(fetch(url), weight)


@graph
def arguments(url: str, pages: list[Page]) -> None:
    fetch()  # error
    fetch(3)  # error
    fetch(url, 1)  # error
    fetch(url, depht=1)  # error
    fetch(link=url)  # error
    count(url)  # error
    count(fetch(url), facter=2)  # error
    count(fetch(url), factor="2")  # error
    total([fetch(url)])  # error
    single()  # error
    single(3)  # error
    score(url, wait=3)  # error
    score(url, weight=fetch(url))  # error


@graph
def results(url: str) -> str:
    number: str = count(fetch(url))  # error
    half, label, rest = pair(url)  # error
    fetch(url).titel  # error
    fetch(url) + 1  # error
    return count(fetch(url))  # error


@graph(late="yes")  # error
def bad_late(url: str) -> str:
    return url


@graph(late=True)
def deep(page: Page) -> int:
    return count(page) if page.size > 3 else 0


@graph
async def agent(start: str, *, most: int = 3) -> int:
    await deep.run(start)  # error
    text: str = await deep.run(await fetch.run(start))  # error
    return await fetch.run(start)  # error


@graph
def later(url: str) -> int:
    deep(url)  # error
    deep(fetch(url), 2)  # error
    each(deep, [url])  # error
    agent(3)  # error
    agent(url, mots=3)  # error
    each(agent, [1, 2])  # error
    page: Page = agent(url)  # error
    return agent.settled(url)  # error


async def bodies() -> None:
    await agent.run(3)  # error
    text: str = await agent.run("a")  # error
    number: int = agent.fn("a")  # error
    value: int = agent.start("a")  # error


@graph
def maps(urls: list[str], numbers: list[int]) -> None:
    each(fetch, numbers)  # error
    each(count, each(fetch, urls), facter=2)  # error
    each(count, each(fetch, urls), factor="x")  # error
    each(fetch, 3)  # error
    each(single, numbers)  # error
    each(fetch.settled, numbers)  # error
    total(each(fetch, urls))  # error
    total(each(fetch.settled, urls))  # error
    each(count, each(fetch.settled, urls))  # error
    strings: list[str] = each(count, each(fetch, urls))  # error
    each(urls, fetch)  # error


@graph
def branches(url: str) -> int:
    best: str = when(count(fetch(url)) > 2, lambda: 1, lambda: "a")  # error
    when(count(fetch(url)) > 2, 1, lambda: 2)  # error
    when(fetch(url), lambda: 1, lambda: 2)  # error
    return apply(len, 3)  # error


@graph
def steps(url: str) -> None:
    apply(len, [url], [url])  # error
    apply(count.fn)  # error
    text: str = apply(len, [url])  # error


@graph
def copies(url: str) -> None:
    fetch.options(pool=3)  # error
    fetch.options(max_concurrent=3)  # error
    fetch.options(pool="db")(3)  # error
    fetch.options(pool="db")(url, dept=3)  # error
    fetch.after(url)(3)  # error
    fetch.settled(3)  # error
    fetch.settled(url, dept=3)  # error
    page: Page = fetch.settled(url)  # error
    outcome: Outcome[str] = fetch.settled(url)  # error
    single.options(expected=3.0)  # error
    single.options(weight="a")  # error
    single.options(name="s")(3)  # error
    fetch.on(3)  # error


class Loader:
    @op
    async def load(self, key: str) -> Page:
        return Page(key, 1)

    @graph
    def both(self, key: str) -> int:
        self.load(3)  # error
        self.load()  # error
        self.load(key, depth=1)  # error
        self.load.settled(3)  # error
        self.load.options(pool="x")(3)  # error
        each(self.load, [1])  # error
        return self.load(key)  # error


async def doors(loader: Loader) -> None:
    await fetch.run()  # error
    await fetch.run(3)  # error
    await fetch.try_run("a", depht=1)  # error
    fetch.start("a", 3)  # error
    await fetch.fn(3)  # error
    await single.run(url=3)  # error
    single.start(uri="a")  # error
    single.plan(3)  # error
    await loader.load.run(3)  # error
    await loader.both.run()  # error
    number: str = await single.run("a")  # error
    result: int = await single.try_run("a")  # error
    value: int = single.start("a")  # error
    TagLimit("kind", value=3, limit=2)  # error


@asset
async def raw(rows: list[int]) -> list[int]:
    return rows


async def assets() -> None:
    asset(pool=3)  # error
    asset(pol="db")  # error
    asset(deps=[3])  # error
    await raw.run(["a"])  # error
    Graph.from_assets([len])  # error
    Graph.from_assets([raw], inputs=[3])  # error
    single.select(3)  # error
    single.select("fetch").given([1])  # error
    await single.select("fetch").run(3)  # error
    page: Page = await single.select("fetch").run("a")  # error
