"""Right uses: neither mypy --strict nor pyright strict may report a line of this file. It is checked, never run."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, assert_type

from asyncflow import (
    Deployment,
    Failure,
    Graph,
    HookInfo,
    Hooks,
    OpRecord,
    OpStatus,
    Outcome,
    Retry,
    RetryRequested,
    Run,
    RunRecord,
    RunResult,
    RunStatus,
    Skip,
    TagLimit,
    apply,
    context,
    each,
    graph,
    op,
    use,
    when,
)
from asyncflow._plan import Plan
from asyncflow.assets import asset


@dataclass
class Page:
    """What is fetched."""

    url: str
    title: str
    size: int


@dataclass
class Report:
    """What is made of it."""

    words: int
    note: str


# ── ops: with and without parentheses, async and sync ────────────────────────────────────────────────────────────────


@op
async def fetch(url: str, *, depth: int = 0) -> Page:
    return Page(url, "", depth)


@op(pool="web", tags={"kind": "io"}, priority=3, expected=0.5)
async def parse(page: Page) -> str:
    return page.title


@op
def count(page: Page, factor: int = 1) -> int:
    return page.size * factor


@op(runs_in="thread", pool={"cpu": 2})
def clean(page: Page) -> Page:
    return page


def host(url: str) -> str:
    return f"host:{url}"


@op(pool=host)
async def pair(url: str) -> tuple[int, str]:
    return len(url), url


@op()
async def total(counts: list[int]) -> int:
    return sum(counts)


@op
async def store(pages: Mapping[str, Page], both: tuple[int, str]) -> None:
    return None


@op
async def keep_going(outcomes: list[Outcome[Page]]) -> int:
    return len(outcomes)


@op
async def wait_all(*numbers: int, **named: str) -> int:
    return sum(numbers)


assert_type(count.fn(Page("", "", 1), factor=2), int)


# ── graphs ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@graph
def single(url: str) -> int:
    page = fetch(url, depth=1)
    assert_type(page, Page)
    assert_type(parse(page), str)
    return count(page, 2)


@graph(max_concurrent=4, tag_concurrency_limits=[TagLimit(key="kind", value="cpu", limit=2)], on_error="fail_fast")
def crawl(urls: list[str], polite: bool = False) -> Report:
    pages = each(fetch, urls)
    assert_type(pages, list[Page])
    if polite:
        pages = each(clean, pages)
    words = total(each(count, pages, factor=3))
    assert_type(words, int)
    half, label = pair(urls[0])
    assert_type(half, int)
    assert_type(label, str)
    best = when(words > 20, lambda: half, lambda: "none")
    assert_type(best, int | str)
    assert_type(apply(len, urls), int)
    assert_type(apply(Report, words, note=label), Report)
    return apply(Report, words, label)


@graph(static=True)
def score(url: str, weight: int = 2) -> int:
    return count(fetch(url), weight)


@graph(name="named", tags={"team": "a"}, priority=1, fair_key="a", weight=2.0, run_id="r")
def named() -> None:
    store({"a": fetch("a")}, pair("a"))


@graph
def outer(urls: list[str]) -> list[int]:
    first = single(urls[0])
    assert_type(first, int)
    each(single, urls)
    return each(score, urls, weight=first)


@graph
def options_keep_the_signature(url: str) -> int:
    page = fetch.options(pool="db", tags={"a": "b"}, priority=1, expected=None, name="other")(url, depth=2)
    assert_type(page, Page)
    again = fetch.after(page, pair(url))(url)
    assert_type(again, Page)
    assert_type(each(fetch.options(map_key=lambda link: link), ["a"]), list[Page])
    outcome = fetch.settled(url, depth=1)
    assert_type(outcome, Outcome[Page])
    assert_type(fetch.options(priority=2).after(page).settled(url), Outcome[Page])
    assert_type(each(fetch.settled, ["a", "b"], depth=1), list[Outcome[Page]])
    assert_type(single.settled(url), Outcome[int])
    assert_type(each(single.settled, [url]), list[Outcome[int]])
    assert_type(single.options(max_concurrent=2, tag_concurrency_limits=[], name="s")(url), int)
    assert_type(single.after(page)(url), int)
    keep_going(each(fetch.settled, [url]))
    wait_all(1, count(page), a="b")
    return total([count(page), count(again)])


# ── late and live graphs ─────────────────────────────────────────────────────────────────────────────────────────────


@graph(late=True)
def deep(page: Page, factor: int = 1) -> int:
    return count(page, factor) if page.size > 3 else 0


@graph
async def agent(start: str, *, most: int = 3) -> int:
    page = await fetch.run(start)
    assert_type(page, Page)
    words = await deep.run(page)
    assert_type(words, int)
    return most


@graph(max_concurrent=2, tag_concurrency_limits=[TagLimit("kind", limit=1)])
async def limited(start: str) -> Report:
    return Report(await agent.run(start), "")


@graph
def around(urls: list[str]) -> list[int]:
    page = fetch(urls[0])
    assert_type(deep(page, factor=2), int)
    assert_type(each(deep, each(fetch, urls)), list[int])
    assert_type(deep.settled(page), Outcome[int])
    assert_type(agent(urls[0], most=2), int)
    assert_type(each(agent, urls, most=2), list[int])
    assert_type(agent.settled(urls[0]), Outcome[int])
    assert_type(agent.options(max_concurrent=2, name="a").after(page)(urls[0]), int)
    return [limited(urls[0]).words, when(deep(page) > 3, lambda: agent("a"), lambda: 0)]


async def doors_of_live_graphs(prod: Deployment) -> None:
    assert_type(await agent.run("a", most=1), int)
    assert_type(await agent.try_run("a"), RunResult[int])
    live: Run[int] = agent.start("a")
    assert_type(await live, int)
    assert_type(await agent.start("a"), int)
    assert_type(await agent.fn("a"), int)
    assert_type(agent.plan("a"), Plan)
    assert_type(await limited.on(prod).run("a"), Report)
    assert_type(await deep.run(Page("", "", 1)), int)
    assert_type(deep.fn(Page("", "", 1)), int)


class Loader:
    """Ops and graphs may be methods."""

    def __init__(self, base: str) -> None:
        self.base = base

    @op
    async def load(self, key: str, *, depth: int = 0) -> Page:
        return Page(self.base + key, "", depth)

    @op(pool="disk")
    def read(self, key: str) -> int:
        return len(key)

    @graph
    async def steps(self, key: str) -> int:
        return (await self.load.run(key)).size

    @graph
    def both(self, key: str) -> int:
        page = self.load(key, depth=1)
        assert_type(page, Page)
        assert_type(each(self.load, [key]), list[Page])
        assert_type(self.load.settled(key), Outcome[Page])
        assert_type(self.load.options(pool="db")(key), Page)
        return self.read(key)


# ── resources ────────────────────────────────────────────────────────────────────────────────────────────────────────


class Http:
    def get(self, url: str) -> Page:
        return Page(url, "", 1)


class FakeHttp(Http):
    pass


async def settings() -> AsyncIterator[Mapping[str, str]]:
    yield {"base": "a"}


async def http(cfg: Mapping[str, str] = use(settings, scope="deployment")) -> AsyncGenerator[Http, None]:
    assert_type(cfg, Mapping[str, str])
    yield Http()


async def fake_http() -> AsyncIterator[FakeHttp]:
    yield FakeHttp()


assert_type(use(http), Http)
checked = Deployment("checked", validate="always")
assert_type(use(http, "run", pool={"sockets": 2}), Http)
assert_type(use(http, scope="op", pool="sockets"), Http)


@op
async def download(url: str, *, client: Http = use(http)) -> Page:
    assert_type(client, Http)
    return client.get(url)


@op
def read_all(url: str, client: Http = use(http, scope="deployment"), times: int = 1) -> list[Page]:
    return [client.get(url)] * times


@graph
def resources(urls: list[str]) -> list[Page]:
    assert_type(download(urls[0]), Page)
    assert_type(download(urls[0], client=FakeHttp()), Page)
    assert_type(read_all(urls[0], times=3), list[Page])
    return each(download, urls)


async def overrides(prod: Deployment) -> None:
    with prod.override(http, fake_http):
        assert_type(await resources.on(prod).run(["a"]), list[Page])
    with prod.override(http, FakeHttp()), prod.override(settings, {"base": "b"}):
        assert_type(await download.fn("a", client=FakeHttp()), Page)


# ── five doors ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def doors(prod: Deployment, loader: Loader) -> None:
    assert_type(await fetch.run("a", depth=1), Page)
    assert_type(await fetch.try_run("a"), RunResult[Page])
    live: Run[Page] = fetch.start("a")
    assert_type(await live, Page)
    assert_type(await live.result(), RunResult[Page])
    assert_type(await fetch.fn("a", depth=2), Page)
    assert_type(await count.run(Page("", "", 1)), int)
    assert_type(await single.run("a"), int)
    assert_type(await single.try_run(url="a"), RunResult[int])
    assert_type(await single.start("a"), int)
    assert_type(single.fn("a"), int)
    assert_type(crawl.plan(["a"]), Plan)
    assert_type(crawl.plan(), Plan)
    tuned = crawl.options(
        max_concurrent=8,
        tag_concurrency_limits=[TagLimit("kind", limit=2)],
        tags={"team": "a"},
        priority=5,
        fair_key="tenant-1",
        weight=2.0,
        on_error="continue",
        run_id=None,
    ).on(prod)
    assert_type(await tuned.run(["a"], polite=True), Report)
    assert_type(await fetch.on(prod).run("a"), Page)
    assert_type(await loader.load.run("a", depth=1), Page)
    assert_type(await loader.both.run("a"), int)
    assert_type(await loader.both.start("a"), int)
    assert_type(await loader.steps.run("a"), int)
    assert_type(await loader.steps.fn("a"), int)
    assert_type(await loader.load.fn("a"), Page)
    assert_type((await crawl.try_run(["a"])).output, Report | None)


def takes_a_function(function: Callable[[str], Page]) -> None:
    """A call in a graph is a plain call to the checker, so an op fits where a function is asked for."""


takes_a_function(fetch)


# ── assets and selections ────────────────────────────────────────────────────────────────────────────────────────────


@asset
async def raw() -> list[int]:
    return [1]


@asset(pool="db", tags={"kind": "cpu"}, priority=1, expected=2.0, deps=[raw, "other"], name="sized")
def size(raw: list[int]) -> int:
    return len(raw)


@asset(runs_in="thread")
def other(sized: int) -> str:
    return str(sized)


warehouse = Graph.from_assets([raw, size, other], name="warehouse", inputs=["day"])


async def run_assets(urls: list[str]) -> None:
    assert_type(await raw.run(), list[int])
    assert_type(await size.run([1]), int)
    assert_type(size.fn([1]), int)
    assert_type(await warehouse.run(day="mon"), dict[str, Any])
    part = warehouse.select("*sized", ["other+"]).given({"raw": [1]})
    one = single.select("count").given({"fetch": urls[0]})
    assert_type(await one.run(urls[0]), dict[str, Any])
    assert_type(await part.run(), dict[str, Any])
    assert_type((await part.options(max_concurrent=2).try_run()).output, dict[str, Any] | None)
    assert_type(part.needed(), tuple[str, ...])


async def heard(info: HookInfo) -> None:
    assert_type(info.error, BaseException | None)


def seconds_asked(error: Exception) -> float | None:
    return getattr(error, "seconds", None)


POLICY = Retry(max_retries=2, delay=timedelta(seconds=1), backoff="linear", jitter="full", retry_after=seconds_asked)
HOOKS = Hooks(on_success=print, on_failure=heard, on_cancel=lambda info: info.reason)


@op(retry=POLICY, timeout=timedelta(seconds=5), hooks=HOOKS)
async def tried(url: str) -> Page:
    here = context()
    assert_type(here.attempt, int)
    assert_type(here.map_key, str | None)
    here.progress(1, 2)
    here.emit("page", url=url)
    await here.release("web")
    if not url:
        raise Skip("no url")
    if url == "busy":
        raise RetryRequested(delay=2.5, max_retries=9)
    raise Failure("gone", metadata={"url": url}, allow_retries=False)


@graph(retry=Retry(on=(OSError, KeyError)), op_retry=Retry(on=lambda error: bool(error.args)), timeout=60, hooks=HOOKS)
def tried_runs(urls: list[str]) -> list[Page]:
    return each(tried.options(retry=None, timeout=None, hooks=None), urls)


kept = Deployment("kept", store="sqlite:///runs.db")


async def go_on() -> None:
    assert_type(await tried_runs.options(resume_from="monday").run(["a"]), list[Page])
    run: Run[Any] = kept.resume("monday")
    assert_type(run.id, str)
    await kept.resume(pool="web")
    for record in await kept.runs(graph="tried_runs", status=RunStatus.FAILED, tags={"team": "a"}):
        assert_type(record, RunRecord)
        assert_type((await kept.ops(record.run_id, status=[OpStatus.FAILED]))[0], OpRecord)
    values = await kept.outputs(tried_runs.select("tried"), ["a"], run_id="monday")
    assert_type(values, dict[str, Any])
