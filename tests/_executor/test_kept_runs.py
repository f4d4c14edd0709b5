"""Runs that are kept in a store: their records, going on from them by id, and what is refused."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest

from asyncflow import (
    ConfigurationError,
    Deployment,
    Event,
    Graph,
    InputError,
    OpStatus,
    Outcome,
    PlanError,
    ResultNotStorable,
    Retry,
    RunFailed,
    RunStatus,
    SchemaMismatch,
    Skip,
    StoreFailed,
    StoreUnavailable,
    TagLimit,
    apply,
    each,
    graph,
    op,
)
from asyncflow._store import store_of
from asyncflow.assets import asset
from asyncflow.testing import run_virtual
from tests._store.cut import killed, on

ran: Counter[str] = Counter()
broken: set[str] = set()


@pytest.fixture(autouse=True)
def fresh() -> None:
    """Nothing ran yet and nothing is broken."""
    ran.clear()
    broken.clear()


@pytest.fixture(params=["memory", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store of each kind."""
    return "memory" if request.param == "memory" else f"sqlite:///{tmp_path / 'runs.db'}"


@dataclass(frozen=True)
class Page:
    url: str
    data: bytes


@op
async def fetch(url: str) -> Page:
    ran[url] += 1
    await anyio.sleep(1)
    if url in broken:
        raise ConnectionError(url)
    return Page(url, b"\xff" + url.encode())


@op
def size(page: Page) -> int:
    ran[f"size {page.url}"] += 1
    return len(page.data)


@op
async def total(sizes: list[int]) -> int:
    ran["total"] += 1
    return sum(sizes)


@graph
def crawl(urls: list[str]) -> int:
    return total(each(size, each(fetch, urls)))


URLS = ["a", "bb", "ccc"]


def statuses(result: Any) -> dict[str, str]:
    return {key: record.status.value for key, record in result.ops.items()}


def test_a_run_goes_on_by_its_id(url: str) -> None:
    """Given a run in which one item failed: resumed by id, that item and what hung on it run, all else is REUSED."""

    async def main() -> None:
        broken.add("bb")
        async with Deployment("prod", store=url) as prod:
            failed = await crawl.try_run(URLS)
            broken.clear()
            ran.clear()
            again = await crawl.options(resume_from=failed.run_id).on(prod).try_run(URLS)
        assert again.output == 2 + 3 + 4
        assert ran == {"bb": 1, "size bb": 1, "total": 1}
        assert statuses(again)["fetch[0]"] == statuses(again)["size[2]"] == "REUSED"
        assert again.seconds == 1
        assert again.ops["fetch[0]"].attempts == 0

    run_virtual(main)


def test_another_process_goes_on(tmp_path: Path) -> None:
    """Given a file that another loop and another deployment wrote: the run goes on there, with no deployment open."""
    url = f"sqlite:///{tmp_path / 'runs.db'}"

    async def first() -> None:
        broken.add("bb")
        with pytest.raises(RunFailed):
            await crawl.options(run_id="one").on(Deployment("prod", store=url)).run(URLS)

    async def second() -> None:
        broken.clear()
        job = crawl.options(resume_from="one").on(Deployment("other", store=url))
        assert await job.run(URLS) == 9

    run_virtual(first)
    ran.clear()
    run_virtual(second)
    assert ran == {"bb": 1, "size bb": 1, "total": 1}


def test_the_record_tells_what_happened_in_order(url: str) -> None:
    """Given a run with a failure: every op that ended has a record in the order of the ends, and the run has one."""

    async def main() -> None:
        broken.add("bb")
        async with Deployment("prod", store=url) as prod:
            one_by_one = crawl.options(tags={"team": "a"}, priority=3, max_concurrent=1)
            failed = await one_by_one.on(prod).try_run(URLS)
            (run,) = await prod.runs()
            ops = await prod.ops(failed.run_id)
        assert (run.run_id, run.graph, run.status) == (failed.run_id, "crawl", RunStatus.FAILED)
        assert (dict(run.tags), run.priority, run.attempts) == ({"team": "a"}, 3, 1)
        assert run.error == "ConnectionError: bb"
        assert run.ended_at is not None
        assert run.started_at is not None
        assert (run.ended_at - run.started_at).total_seconds() == pytest.approx(3)
        assert [(one.key, one.status.value, one.kept) for one in ops] == [
            ("fetch[0]", "SUCCEEDED", True),
            ("size[0]", "SUCCEEDED", True),
            ("fetch[1]", "FAILED", False),
            ("fetch[2]", "SUCCEEDED", True),
            ("size[2]", "SUCCEEDED", True),
            ("size[1]", "ABANDONED", False),
            ("total", "ABANDONED", False),
        ]
        assert [one.error for one in ops if one.error] == ["ConnectionError: bb"]
        assert ops[0].attempts == 1

    run_virtual(main)


def test_records_are_listed_in_pages(url: str) -> None:
    """Given several runs: filters by graph, status and tags, newest first, and pages without a gap."""

    async def main() -> None:
        async with Deployment("prod", store=url) as prod:
            for i in range(5):
                await crawl.options(run_id=f"r{i}", tags={"odd": str(i % 2)}).run(["a"])
            await fetch.run("x")
            broken.add("bb")
            await crawl.options(run_id="bad").try_run(URLS)
            assert [run.run_id for run in await prod.runs(graph="crawl")] == ["bad", "r4", "r3", "r2", "r1", "r0"]
            assert [run.run_id for run in await prod.runs(graph="crawl", limit=2)] == ["bad", "r4"]
            assert [run.run_id for run in await prod.runs(graph="crawl", limit=2, before="r4")] == ["r3", "r2"]
            assert [run.run_id for run in await prod.runs(status=RunStatus.FAILED)] == ["bad"]
            assert [run.run_id for run in await prod.runs(tags={"odd": "1"})] == ["r3", "r1"]
            assert [run.graph for run in await prod.runs(limit=1, before="bad")] == ["fetch"]
            assert [run.run_id for run in await prod.runs(run_id="r2")] == ["r2"]
            assert await prod.runs(run_id="unknown") == ()
            ops = await prod.ops("bad", limit=3)
            assert [one.key for one in await prod.ops("bad", after=ops[-1].key, limit=2)] == ["size[0]", "size[2]"]
            assert [one.key for one in await prod.ops("bad", status=[OpStatus.FAILED])] == ["fetch[1]"]
            assert [one.key for one in await prod.ops("bad", key="total")] == ["total"]
            with pytest.raises(ConfigurationError, match="limit must be a whole number from 1"):
                await prod.runs(limit=0)
            with pytest.raises(ConfigurationError, match="status must be a RunStatus"):
                await prod.runs(status="FAILED")  # type: ignore[arg-type]  # wrong on purpose

    run_virtual(main)


def test_prod_resume_takes_the_inputs_from_the_record(url: str) -> None:
    """Given only the id of a run: `prod.resume` starts it with its inputs, tags and priority; a resumed one goes on."""

    async def main() -> None:
        broken.add("bb")
        async with Deployment("prod", store=url) as prod:
            await crawl.options(run_id="one", tags={"team": "a"}, priority=2).try_run(URLS)
            second = prod.resume("one")
            assert (await second.result()).status is RunStatus.FAILED
            broken.clear()
            third = prod.resume(second.id)
            assert await third == 9
            record = (await prod.runs(run_id=third.id))[0]
            assert (record.resumed_from, dict(record.tags), record.priority) == (second.id, {"team": "a"}, 2)
            alone = fetch.start("q")
            assert await prod.resume(alone.id if await alone else "") == Page("q", b"\xffq")
            prod.pause(pool="db")
            prod.resume(pool="db")  # the other meaning stays
        assert ran["a"] == 1
        assert ran["q"] == 1

    run_virtual(main)


def test_an_id_may_be_used_again(url: str) -> None:
    """Given a run with an id of its own: resumed under that id it goes on in its own record; not resumed, it is new."""

    async def main() -> None:
        broken.add("bb")
        async with Deployment("prod", store=url) as prod:
            await crawl.options(run_id="nightly").try_run(URLS)
            broken.clear()
            await crawl.options(run_id="nightly", resume_from="nightly").run(URLS)
            assert ran["a"] == 1
            ops = {one.key: one.status.value for one in await prod.ops("nightly")}
            assert ops["fetch[0]"] == "REUSED"
            assert ops["fetch[1]"] == ops["total"] == "SUCCEEDED"
            later = await crawl.options(run_id="later", resume_from="nightly").try_run(URLS)
            await crawl.options(run_id="nightly").run(["zz"])
            assert [one.key for one in await prod.ops("nightly")] == ["fetch[0]", "size[0]", "total"]
            last = await crawl.options(resume_from="later").try_run(URLS)
            assert set(statuses(last).values()) == {"REUSED"} == set(statuses(later).values())
            assert last.output == 9  # the values it took over are its own, whatever became of that id
        assert ran["a"] == 1

    run_virtual(main)


def test_a_value_is_kept_as_it_was_when_the_op_ended(url: str) -> None:
    """Row 31: given an op that changes what another one gave: the store has the value as it was given."""

    @op
    async def numbers() -> list[int]:
        ran["numbers"] += 1
        return [1, 2]

    @op
    async def spoil(values: list[int]) -> int:
        values.append(99)
        if "spoil" in broken:
            raise ValueError
        return sum(values)

    @graph
    def sharing() -> int:
        return spoil(numbers())

    async def main() -> None:
        broken.add("spoil")
        async with Deployment("prod", store=url):
            failed = await sharing.try_run()
            broken.clear()
            assert await sharing.options(resume_from=failed.run_id).run() == 102
        assert ran["numbers"] == 1

    run_virtual(main)


class Unknown:
    """Something pydantic has no schema for."""


@op
async def opaque() -> Unknown:
    ran["opaque"] += 1
    return Unknown()


@op
async def unsaid(value: object):
    return value


@op
async def wrong() -> int:
    return "a text"  # type: ignore[return-value]  # wrong on purpose


@graph
def opaque_graph() -> Unknown:
    return opaque()


def test_row_32_what_cannot_be_kept_is_refused_before_anything_runs(url: str) -> None:
    """Row 32: given an op whose annotation no store can keep: every door refuses, naming op, type and next step."""

    async def main() -> None:
        async with Deployment("prod", store=url) as prod:
            for door in (opaque_graph.run, opaque_graph.try_run, opaque.run):
                with pytest.raises(ResultNotStorable, match=r"opaque gives Unknown, which cannot .*; annotate"):
                    await door()
            with pytest.raises(ResultNotStorable, match="opaque gives Unknown"):
                opaque_graph.start()
            assert await prod.runs() == ()
        assert not ran
        assert isinstance(await opaque.run(), Unknown)  # without a store nobody minds

    run_virtual(main)


@pytest.mark.parametrize(
    "value", [Unknown(), (1, 2), {1: 2}, {"a": {1, 2}}, [Page("a", b"")], b"bytes", 1j], ids=lambda v: type(v).__name__
)
def test_row_32_a_value_that_would_not_come_back_fails_its_op(url: str, value: object) -> None:
    """Row 32: given nothing said about a result that is no plain JSON: the op fails, with type and size, no value."""

    async def main() -> None:
        async with Deployment("prod", store=url) as prod:
            with pytest.raises(ResultNotStorable, match=r"unsaid has no annotation of its result, .* cannot be kept"):
                await unsaid.options(retry=Retry(max_retries=3)).run(value)
            (run,) = await prod.runs()
            assert run.status is RunStatus.FAILED
            assert [one.attempts for one in await prod.ops(run.run_id)] == [1]

    run_virtual(main)


@pytest.mark.parametrize("value", [None, True, 3, 2.5, "text", [1, [None]], {"a": {"b": [1.5]}}], ids=repr)
def test_plain_json_needs_no_annotation(url: str, value: object) -> None:
    """Given nothing said about a result that is plain JSON: it comes back from the store as it was."""

    async def main() -> None:
        async with Deployment("prod", store=url) as prod:
            run = unsaid.start(value)
            await run
            back = await prod.resume(run.id)
            assert back == value
            assert type(back) is type(value)

    run_virtual(main)


def test_a_result_of_another_type_than_promised_fails(url: str) -> None:
    """Given an op that promises a number and gives a text: it could not be read back, so it fails now and not then."""

    async def main() -> None:
        async with Deployment("prod", store=url):
            with pytest.raises(ResultNotStorable, match="wrong gives int, and str of length 6 cannot be kept"):
                await wrong.run()

    run_virtual(main)


@graph
def other(urls: list[str]) -> int:
    return total(each(size, each(fetch, urls)))


def test_what_does_not_fit_is_refused(url: str) -> None:
    """Other inputs, graph or wiring, unknown ids, runs that still run, no store: refused before anything starts."""
    deep = False

    @graph
    def shifting(urls: list[str]) -> int:
        sizes = each(size, each(fetch, urls))
        return total(apply(sorted, sizes)) if deep else total(sizes)

    async def main() -> None:
        nonlocal deep
        async with Deployment("prod", store=url) as prod:
            one = await crawl.try_run(URLS)
            with pytest.raises(InputError, match=r"resume_from: run .* had another 'urls'; give the inputs it had"):
                await other.options(name="crawl", resume_from=one.run_id).run(["x", "y", "z"])
            with pytest.raises(PlanError, match=r"was wired otherwise: it had no 'fetch\[3\]'"):
                await crawl.options(resume_from=one.run_id).run([*URLS, "d"])
            with pytest.raises(PlanError, match="was wired otherwise: this is 'other'"):
                await other.options(resume_from=one.run_id).run(URLS)
            two = await shifting.try_run(URLS)
            deep = True
            with pytest.raises(PlanError, match="was wired otherwise"):
                await shifting.options(resume_from=two.run_id).run(URLS)
            with pytest.raises(ConfigurationError, match="has no run 'unknown'"):
                await crawl.options(resume_from="unknown").run(URLS)
            with pytest.raises(ConfigurationError, match="has no run 'unknown'"):
                prod.resume("unknown")
            with pytest.raises(ConfigurationError, match=r"which is defined|has no such graph at its top level"):
                prod.resume(two.run_id)
            with pytest.raises(ConfigurationError, match="not both"):
                prod.resume("one", pool="db")  # type: ignore[call-overload]  # wrong on purpose
            live = crawl.start(["slow"])
            await anyio.sleep(0.5)
            with pytest.raises(ConfigurationError, match="still runs here"):
                await crawl.options(resume_from=live.id).run(["slow"])
            await live
        async with Deployment("bare") as bare:
            with pytest.raises(ConfigurationError, match="has no store"):
                await crawl.options(resume_from=one.run_id).run(URLS)
            with pytest.raises(ConfigurationError, match="has no store"):
                bare.resume(one.run_id)
            with pytest.raises(ConfigurationError, match="has no store"):
                await bare.runs()

    run_virtual(main)


@pytest.mark.parametrize(
    "store", ["redis://x", "sqlite://x", "sqlite:///", "sqlite:///:memory:", "memry", 7, "sqlite:///x?keep=3",
              "sqlite:///x?keep_days=0", "sqlite:///x?keep_days=x"], ids=repr
)  # fmt: skip
def test_what_is_no_store_is_refused(store: Any) -> None:
    """Given something that names no store: ConfigurationError, naming the field."""
    with pytest.raises(ConfigurationError, match="store"):
        Deployment("prod", store=store)


def test_the_file_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    """Given a new file: only its owner may read it, and what SQLite keeps beside it."""

    async def main() -> None:
        async with Deployment("prod", store=f"sqlite:///{tmp_path / 'runs.db'}"):
            await crawl.run(["a"])
            modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}  # noqa: ASYNC240 — a test's own folder
            assert modes["runs.db"] == 0o600
            assert set(modes.values()) == {0o600}

    run_virtual(main)


def test_files_that_are_no_store_are_refused_and_left_alone(tmp_path: Path) -> None:
    """Given a newer file, somebody else's, a damaged one, a missing folder: a clear error, nothing is changed."""
    import sqlite3

    async def opened(path: Path) -> None:
        async with Deployment("prod", store=f"sqlite:///{path}"):
            pass

    run_virtual(opened, tmp_path / "newer.db")
    with sqlite3.connect(tmp_path / "newer.db") as connection:
        connection.execute("PRAGMA user_version = 7")
    connection.close()
    with sqlite3.connect(tmp_path / "theirs.db") as connection:
        connection.execute("CREATE TABLE mine (x)")
    connection.close()
    (tmp_path / "damaged.db").write_bytes(b"no database at all" * 1000)
    for name, words in {"newer": "version 7", "theirs": "something else", "damaged": "damaged, or no SQLite"}.items():
        before = (tmp_path / f"{name}.db").read_bytes()
        with pytest.raises(SchemaMismatch, match=words):
            run_virtual(opened, tmp_path / f"{name}.db")
        if name != "theirs":  # which was not in WAL mode before, and may keep that
            assert (tmp_path / f"{name}.db").read_bytes() == before
    with pytest.raises(StoreUnavailable, match="cannot be opened: No such file or directory"):
        run_virtual(opened, tmp_path / "missing" / "runs.db")


def test_old_runs_are_removed_when_the_file_is_opened(tmp_path: Path) -> None:
    """Given `keep_days`: runs that ended longer ago go, values that a newer run took over stay."""
    import sqlite3

    path = tmp_path / "runs.db"

    async def make() -> None:
        broken.add("bb")
        async with Deployment("prod", store=f"sqlite:///{path}"):
            await crawl.options(run_id="old").try_run(URLS)
            await crawl.options(run_id="older").try_run(["x"])
            await crawl.options(run_id="new", resume_from="old").try_run(URLS)

    async def look() -> None:
        broken.clear()
        async with Deployment("prod", store=f"sqlite:///{path}?keep_days=30") as prod:
            assert [run.run_id for run in await prod.runs()] == ["new"]
            assert await prod.ops("old") == ()
            assert await crawl.options(resume_from="new").run(URLS) == 9

    run_virtual(make)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE runs SET ended_at = ended_at - 31 * 86400 WHERE run_id <> 'new'")
    connection.close()
    run_virtual(look)
    assert ran["a"] == 1
    with sqlite3.connect(path) as connection:
        (left,) = connection.execute("SELECT count(*) FROM outputs WHERE key LIKE '%'").fetchone()
    connection.close()
    assert left == 4 + 3  # two fetches and two sizes taken over, and what the last run made


def test_a_settled_failure_is_not_run_again_where_its_outcome_was_used(url: str) -> None:
    """Given a settled failure that an op has judged: neither runs again. Where nobody has yet, it does."""

    @op
    async def fails(name: str) -> int:
        ran[name] += 1
        raise KeyError(name)

    @op
    async def judge(outcome: Outcome[int], name: str) -> str:
        ran[f"judge {name}"] += 1
        if name in broken:
            raise ValueError(name)
        return type(outcome.error).__name__

    @graph
    def judging() -> list[str]:
        return [judge(fails.settled("one"), "one"), judge(fails.settled("two"), "two")]

    async def main() -> None:
        broken.add("two")
        async with Deployment("prod", store=url):
            failed = await judging.try_run()
            broken.clear()
            again = await judging.options(resume_from=failed.run_id).try_run()
            assert again.output == ["KeyError", "KeyError"]
            assert ran == {"one": 1, "judge one": 1, "two": 2, "judge two": 2}
            assert statuses(again) == {
                "fails": "FAILED",
                "judge": "REUSED",
                "fails#2": "FAILED",
                "judge#2": "SUCCEEDED",
            }
            assert again.status is RunStatus.SUCCEEDED
            once_more = await judging.options(resume_from=again.run_id).try_run()
            assert (once_more.output, ran["two"]) == (again.output, 2)

    run_virtual(main)


def test_values_that_nobody_needs_are_not_read() -> None:
    """Given a long chain of maps of which the last op is left: only what that one needs is read from the store."""
    asked: list[str] = []
    store = store_of("memory")
    assert store is not None
    read = store.open().outputs

    def outputs(run_id: str, keys: Any) -> dict[str, str]:
        asked.extend(keys)
        return read(run_id, keys)

    store.outputs = outputs  # type: ignore[attr-defined]  # a test looks behind the scenes

    async def main() -> None:
        deployment, cut = killed(store, 1 + 2 * 3)
        one = await crawl.on(deployment).try_run(URLS)
        assert len(cut.written) == 7
        again = await crawl.options(resume_from=one.run_id).on(on(store)).try_run(URLS)
        assert again.output == 9
        assert sorted(asked) == ["size[0]", "size[1]", "size[2]"]

    run_virtual(main)
    assert ran["a"] == 1
    assert ran["total"] == 2


def test_a_value_that_fits_no_more_is_made_again(url: str) -> None:
    """Given an op that promises another type by now: what is kept does not fit, it is told, and the op runs again."""
    kind: Any = int

    def graph_of(result: Any) -> Any:
        async def made() -> Any:
            ran["made"] += 1
            return 3 if result is int else {"x": 3}

        made.__annotations__["return"] = result

        async def used(value: Any) -> int:
            if "used" in broken:
                raise ValueError
            return 1

        @graph
        def changing() -> int:
            return op(used)(op(made)())

        return changing

    async def main() -> None:
        told: list[Event] = []
        broken.add("used")
        async with Deployment("prod", store=url) as prod:
            prod.subscribe(told.append)
            one = await graph_of(kind).try_run()
            broken.clear()
            again = await graph_of(dict[str, int]).options(resume_from=one.run_id).try_run()
            assert again.output == 1
        assert ran["made"] == 2
        assert any(isinstance(event, StoreFailed) and "made" in event.error for event in told)

    run_virtual(main)


def test_an_op_that_skipped_itself_skips_again(url: str) -> None:
    """Given an op that had nothing to give: it is not asked again."""

    @op
    async def maybe() -> int:
        ran["maybe"] += 1
        raise Skip("nothing today")

    @op
    async def after(value: int) -> int:
        return value

    @op
    async def flaky() -> int:
        if "flaky" in broken:
            raise ValueError
        return 1

    @graph
    def skipping() -> list[int]:
        return [after(maybe()), flaky()]

    async def main() -> None:
        broken.add("flaky")
        async with Deployment("prod", store=url) as prod:
            one = await skipping.try_run()
            broken.clear()
            again = await skipping.options(resume_from=one.run_id).try_run()
            assert statuses(again) == {"maybe": "SKIPPED", "after": "SKIPPED", "flaky": "SUCCEEDED"}
            reasons = {op.key: op.reason for op in await prod.ops(again.run_id)}
            assert reasons["maybe"] == "nothing today"
        assert ran["maybe"] == 1

    run_virtual(main)


def test_a_resumed_run_waits_its_turn(url: str) -> None:
    """Given limits: what is REUSED asks for nothing, what runs again waits as ever, for the run's place too."""

    @graph(max_concurrent=1, tag_concurrency_limits=[TagLimit("k", limit=1)])
    def narrow(urls: list[str]) -> int:
        return total(each(size, each(fetch.options(pool="web", tags={"k": "v"}), urls)))

    async def main() -> None:
        broken.update(URLS)
        limits = {"runs": {"max_concurrent_runs": 1}, "pools": {"limits": {"web": 1}}}
        async with Deployment("prod", store=url, concurrency=limits) as prod:
            one = await narrow.try_run(URLS)
            broken.clear()
            first = narrow.options(resume_from=one.run_id).start(URLS)
            second = narrow.options(resume_from=one.run_id).start(URLS)
            assert (await first, await second) == (9, 9)
            result = await second.result()
            assert (result.queued, result.seconds) == (3, 3)
            third = await narrow.options(resume_from=second.id).try_run(URLS)
            assert (third.seconds, set(statuses(third).values())) == (0, {"REUSED"})
            assert not [limit for limit in prod.snapshot().limits if limit.held or limit.waiters]

    run_virtual(main)


def test_run_retries_go_on_from_the_record(url: str) -> None:
    """Given a resumed run with `retry`: its second attempt goes on from what the store and the first one have."""

    async def main() -> None:
        broken.update({"a", "ccc"})
        async with Deployment("prod", store=url) as prod:
            one = await crawl.try_run(URLS)
            broken.discard("a")
            job = crawl.options(resume_from=one.run_id, retry=Retry(max_retries=1, delay=5))
            run = job.start(URLS)
            await anyio.sleep(3)
            broken.clear()
            assert await run == 9
            record = (await prod.runs(run_id=run.id))[0]
            assert (record.attempts, record.status) == (2, RunStatus.SUCCEEDED)
            assert {op.key: op.status.value for op in await prod.ops(run.id)} == {
                "fetch[0]": "SUCCEEDED", "fetch[1]": "REUSED", "fetch[2]": "SUCCEEDED",
                "size[0]": "SUCCEEDED", "size[1]": "REUSED", "size[2]": "SUCCEEDED", "total": "SUCCEEDED",
            }  # fmt: skip
            result = await run.result()
            with pytest.raises(ConfigurationError, match="went on from a store"):
                await crawl.options(resume_from=result).on(Deployment("bare")).run(URLS)
            assert await crawl.options(resume_from=result).run(URLS) == 9
        assert ran == {"a": 2, "bb": 1, "ccc": 3, "size a": 1, "size bb": 1, "size ccc": 1, "total": 1}

    run_virtual(main)


def test_a_result_of_this_process_resumes_beside_a_store(url: str) -> None:
    """Given a store and the RunResult itself: resuming from it works as without one, and the new run is kept whole."""

    async def main() -> None:
        broken.add("bb")
        async with Deployment("prod", store=url):
            failed = await crawl.try_run(URLS)
            broken.clear()
            again = await crawl.options(resume_from=failed).try_run(URLS)
            assert again.output == 9
            last = await crawl.options(resume_from=again.run_id).try_run(URLS)
            assert set(statuses(last).values()) == {"REUSED"}
            assert last.output == 9
        assert ran["a"] == 1

    run_virtual(main)


def test_inputs_that_cannot_be_kept_are_given_again(url: str) -> None:
    """Given an input that is an object: it is given again and taken as equal; `prod.resume` says that it has it not."""

    async def main() -> None:
        broken.add("a")
        async with Deployment("prod", store=url) as prod:
            one = await with_object.try_run(Unknown(), ["a"])
            broken.clear()
            assert await with_object.options(resume_from=one.run_id).run(Unknown(), ["a"]) == 2
            with pytest.raises(InputError, match=r"the input 'thing' of with_object .* a Unknown cannot be kept"):
                prod.resume(one.run_id)

    run_virtual(main)


@graph
def with_object(thing: Unknown, urls: list[str]) -> int:
    del thing
    return total(each(size, each(fetch, urls)))


@asset
async def raw(day: str) -> list[int]:
    ran["raw"] += 1
    return [1, 2, len(day)]


@asset
async def mean(raw: list[int]) -> float:
    ran["mean"] += 1
    return sum(raw) / len(raw)


@asset
async def report(raw: list[int], mean: float) -> str:
    ran["report"] += 1
    return f"{len(raw)}: {mean}"


warehouse = Graph.from_assets([raw, mean, report], name="warehouse", inputs=["day"])


def test_a_selection_takes_what_it_leaves_out_from_the_store(url: str) -> None:
    """Given assets that were made: one of them is made again from the kept values of the others, the newest ones."""

    async def main() -> None:
        async with Deployment("prod", store=url) as prod:
            part = warehouse.select("report").on(prod)
            assert await prod.outputs(part) == {}
            await warehouse.run(day="mon")
            monday = (await prod.runs())[0].run_id
            await warehouse.run(day="wednesday")
            values = await prod.outputs(part)
            assert values == {"raw": [1, 2, 9], "mean": 4.0}
            assert await part.given(values).run(day="any") == {"report": "3: 4.0"}
            assert await prod.outputs(part, run_id=monday) == {"raw": [1, 2, 3], "mean": 2.0}
            assert await prod.outputs(warehouse, run_id=monday) == {"raw": [1, 2, 3], "mean": 2.0, "report": "3: 2.0"}
            again = prod.resume(monday)
            assert (await again)["report"] == "3: 2.0"
            some = warehouse.select("*mean").on(prod)
            last = await prod.resume((await some.try_run(day="x")).run_id)
            assert last == {"raw": [1, 2, 1], "mean": 4 / 3}
        assert ran == {"raw": 3, "mean": 3, "report": 3}

    run_virtual(main)


def test_lists_of_an_each_come_from_the_store(url: str) -> None:
    """Given an `each` that is left out: its list is put together from the items of a run that succeeded."""

    async def main() -> None:
        async with Deployment("prod", store=url) as prod:
            part = crawl.select("total").on(prod)
            broken.add("bb")
            await crawl.try_run(URLS)
            assert await prod.outputs(part, URLS) == {}  # items may be missing
            broken.clear()
            await crawl.run(URLS)
            assert await prod.outputs(part, URLS) == {"size": [2, 3, 4]}
            assert await part.given(await prod.outputs(part, URLS)).run(URLS) == {"total": 9}

    run_virtual(main)


def test_children_are_recorded_and_run_again_with_their_parent(url: str) -> None:
    """Given an op that failed after its child succeeded: both run again, and both have records."""

    @op
    async def parent(url: str) -> int:
        page = await fetch.run(url)
        if "parent" in broken:
            raise ValueError
        return len(page.data)

    @graph
    def family() -> int:
        return parent("a")

    async def main() -> None:
        broken.add("parent")
        async with Deployment("prod", store=url) as prod:
            one = await family.try_run()
            assert [(op.key, op.status.value) for op in await prod.ops(one.run_id)] == [
                ("parent/fetch", "SUCCEEDED"), ("parent", "FAILED"),
            ]  # fmt: skip
            broken.clear()
            assert await family.options(resume_from=one.run_id).run() == 2
            assert ran["a"] == 2

    run_virtual(main)


def test_cancelled_runs_go_on(url: str) -> None:
    """Given a run that was cancelled while ops ran: its record says so, and what had not ended runs again."""

    async def main() -> None:
        async with Deployment("prod", store=url, concurrency={"pools": {"limits": {"web": 1}}}) as prod:
            slow = crawl_of("web")
            run = slow.start(URLS)
            await anyio.sleep(1.5)
            await run.cancel("for now")
            record = (await prod.runs())[0]
            assert (record.status, record.reason) == (RunStatus.CANCELED, "for now")
            assert {op.key: op.status.value for op in await prod.ops(run.id, limit=3)} == {
                "fetch[0]": "SUCCEEDED", "size[0]": "SUCCEEDED", "fetch[1]": "CANCELED",
            }  # fmt: skip
            again = await slow.options(resume_from=run.id).try_run(URLS)
            assert (again.output, again.seconds) == (9, 2)

    run_virtual(main)


def crawl_of(pool: str) -> Any:
    @graph(name="crawl")
    def pooled(urls: list[str]) -> int:
        return total(each(size, each(fetch.options(pool=pool), urls)))

    return pooled


def test_branches_share_the_store_of_their_parent(url: str) -> None:
    """Given a branch: its runs are kept in the parent's store, and listed by the branch."""

    async def main() -> None:
        async with Deployment("prod", store=url) as prod:
            branch = prod.branch("feature")
            broken.add("bb")
            one = await crawl.on(branch).try_run(URLS)
            broken.clear()
            assert await prod.runs() == ()
            assert [run.run_id for run in await branch.runs()] == [one.run_id]
            assert await branch.resume(one.run_id) == 9

    run_virtual(main)


def test_two_deployments_write_one_file(tmp_path: Path) -> None:
    """Given two deployments on one file at once: both have their records, and each goes on from the other's."""
    url = f"sqlite:///{tmp_path / 'runs.db'}"

    async def main() -> None:
        async with Deployment("one", store=url) as one, Deployment("two", store=url) as two:
            broken.add("bb")
            runs = [crawl.on(deployment).start(URLS) for deployment in (one, two) * 5]
            results = [await run.result() for run in runs]
            assert len(await one.runs()) == len(await two.runs()) == 5
            broken.clear()
            for result in results:
                assert await crawl.on(one).options(resume_from=result.run_id).run(URLS) == 9

    run_virtual(main)


def test_a_locked_file_is_told_and_the_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 81: given a file that somebody else has locked: a loud event, and the run ends well."""
    import sqlite3

    monkeypatch.setattr("asyncflow._store.sqlite.BUSY_SECONDS", 0.05)
    path = tmp_path / "runs.db"

    async def main() -> None:
        told: list[Event] = []
        async with Deployment("prod", store=f"sqlite:///{path}") as prod:
            prod.subscribe(told.append)
            other = sqlite3.connect(path, isolation_level=None)
            other.execute("BEGIN EXCLUSIVE")
            assert await crawl.options(run_id="lost").run(["a"]) == 2
            other.execute("ROLLBACK")
            other.close()
            failures = [event for event in told if isinstance(event, StoreFailed)]
            assert failures
            assert "locked" in failures[0].error
            assert sum(event.lost for event in failures) >= 1
            assert await crawl.options(run_id="kept").run(["a"]) == 2
            assert [run.run_id for run in await prod.runs()] == ["kept"]

    run_virtual(main)


def test_a_file_that_is_free_again_gets_what_waited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a lock that ends while the run still runs: nothing is lost."""
    import sqlite3

    monkeypatch.setattr("asyncflow._store.sqlite.BUSY_SECONDS", 0.05)
    path = tmp_path / "runs.db"

    async def main() -> None:
        told: list[Event] = []
        async with Deployment("prod", store=f"sqlite:///{path}") as prod:
            prod.subscribe(told.append)
            other = sqlite3.connect(path, isolation_level=None)
            other.execute("BEGIN EXCLUSIVE")
            run = crawl.options(run_id="kept").start(["a", "b"])
            await anyio.sleep(0.5)
            other.execute("ROLLBACK")
            other.close()
            assert await run == 4
            assert len(await prod.ops("kept")) == 5
            assert sum(event.lost for event in told if isinstance(event, StoreFailed)) == 0
            assert any(isinstance(event, StoreFailed) and event.waiting for event in told)

    run_virtual(main)


def test_row_82_a_full_disk_is_told_and_the_run_goes_on(tmp_path: Path) -> None:
    """Row 82: given a file that cannot grow: a loud event, the run ends well, and the file is whole."""
    path = tmp_path / "runs.db"

    @op
    async def big(i: int) -> str:
        return "x" * 100_000

    @graph
    def bulky() -> int:
        return apply(len, each(big, list(range(20))))

    async def main() -> None:
        told: list[Event] = []
        async with Deployment("prod", store=f"sqlite:///{path}") as prod:
            prod.subscribe(told.append)
            assert prod.keeper is not None
            line = prod.keeper.line
            assert line is not None
            await line.ask(lambda session: session._connection.execute("PRAGMA max_page_count = 30"))  # type: ignore[attr-defined]  # a test looks behind the scenes
            assert await bulky.options(run_id="lost").run() == 20
            assert any("full" in event.error for event in told if isinstance(event, StoreFailed))
            await line.ask(lambda session: session._connection.execute("PRAGMA max_page_count = 100000"))  # type: ignore[attr-defined]  # a test looks behind the scenes
            assert await bulky.options(run_id="kept").run() == 20
            assert "kept" in [run.run_id for run in await prod.runs()]

    run_virtual(main)


def test_an_end_is_handed_over_before_the_loop_turns(tmp_path: Path) -> None:
    """Given an op that keeps the loop busy after another one ended: that one's record is in the file meanwhile."""
    import sqlite3
    import threading

    path = tmp_path / "runs.db"
    seen: list[str] = []

    @op
    async def first() -> int:
        return 1

    @op
    async def busy(value: int) -> int:
        reader = sqlite3.connect(path)
        for _ in range(500):
            seen[:] = [key for (key,) in reader.execute("SELECT key FROM ops WHERE status = 'SUCCEEDED'")]
            if seen:
                break
            threading.Event().wait(0.01)
        reader.close()
        return value

    @graph
    def two() -> int:
        return busy(first())

    async def main() -> None:
        async with Deployment("prod", store=f"sqlite:///{path}"):
            await two.run()

    run_virtual(main)
    assert seen == ["first"]


def test_a_file_that_is_gone_while_values_are_read_fails_the_run(tmp_path: Path) -> None:
    """Given a store that cannot be read when a value is needed: the run fails and says so; nothing is run twice."""

    async def main() -> None:
        async with Deployment("prod", store=f"sqlite:///{tmp_path / 'runs.db'}") as prod:
            broken.add("bb")
            one = await crawl.try_run(URLS)
            broken.clear()
            assert prod.keeper is not None
            line = prod.keeper.line
            assert line is not None
            session: Any = await line.ask(lambda one: one)

            def unreadable(run_id: str, keys: object) -> dict[str, str]:
                import sqlite3

                raise sqlite3.OperationalError("disk I/O error")

            session.outputs = unreadable
            again = await crawl.options(resume_from=one.run_id).try_run(URLS)
            assert again.status is RunStatus.FAILED
            assert {type(error) for error in again.errors} == {StoreUnavailable}
        assert ran["a"] == 1

    run_virtual(main)


def test_without_a_store_nothing_is_different() -> None:
    """Given no store: executions are plain ones, and no thread is started."""
    import threading

    from asyncflow._executor import Execution

    async def main() -> None:
        before = threading.active_count()
        async with Deployment("prod"):
            run = fetch.start("a")
            assert type(run._state.root) is Execution
            await run
        assert threading.active_count() == before

    run_virtual(main)


async def both(*runs: Any) -> None:
    await asyncio.gather(*runs)


def test_deployments_that_are_not_open_share_one_line(tmp_path: Path) -> None:
    """Given runs at once in a deployment that is not open: the file is opened once, and closed with the last."""
    deployment = Deployment("prod", store=f"sqlite:///{tmp_path / 'runs.db'}")

    async def main() -> None:
        await both(*[crawl.on(deployment).run([f"u{i}"]) for i in range(5)])
        assert deployment.keeper is not None
        assert deployment.keeper.line is None
        assert len(await deployment.runs()) == 5

    run_virtual(main)
    run_virtual(main_again, deployment)


async def main_again(deployment: Deployment) -> None:
    assert len(await deployment.runs()) == 5


def test_generators_are_refused(url: str) -> None:
    """Given an op that gives an iterator: it could be read only once, so no store can keep it."""

    @op
    async def lazily() -> Iterator[int]:
        return iter([1])

    async def main() -> None:
        async with Deployment("prod", store=url):
            with pytest.raises(ResultNotStorable, match="read only once"):
                await lazily.run()

    run_virtual(main)
