"""The fixture `virtual_time` in the test suites of others."""

import anyio
import pytest

from asyncflow.testing import VIRTUAL_TIME, VirtualTime, VirtualTimeLoop

pytestmark = pytest.mark.slow


async def test_the_fixture_puts_one_test_into_virtual_time(virtual_time: VirtualTime) -> None:
    """Nothing but the argument is needed."""
    await anyio.sleep(3600)
    assert virtual_time.now == 3600.0


@pytest.mark.virtual_time(seeds=range(3))
async def test_several_seeds_run_the_test_once_each(virtual_time: VirtualTime) -> None:
    """The loop has the seed of the fixture."""
    import asyncio

    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    assert loop.seed == virtual_time.seed
    assert virtual_time.seed in range(3)


@pytest.mark.virtual_time(seed=5)
def test_a_plain_test_runs_functions_itself(virtual_time: VirtualTime) -> None:
    """`.run` is `run_virtual` with the seed of the test."""
    assert virtual_time.seed == 5
    assert virtual_time.run(anyio.sleep, 5) is None


def test_the_backend_is_a_pair_that_anyio_understands() -> None:
    """A fixture named `anyio_backend` can return it as it is."""
    name, options = VIRTUAL_TIME
    assert name == "asyncio"
    assert anyio.run(anyio.sleep, 3600, backend=name, backend_options=options) is None
    assert repr(VirtualTime(3)) == "VirtualTime(seed=3)"


SUITE = """
    import anyio, asyncio, pytest
    from asyncflow.testing import VIRTUAL_TIME, VirtualTimeLoop

    @pytest.fixture
    async def slow_thing():
        await anyio.sleep(60)
        yield "thing"
        await anyio.sleep(60)

    @pytest.mark.anyio
    async def test_marked(virtual_time, slow_thing):
        assert virtual_time.now == 60

    @pytest.mark.anyio
    async def test_other_backends_stay(anyio_backend_name):
        assert not isinstance(asyncio.get_running_loop(), VirtualTimeLoop)

    @pytest.mark.anyio
    @pytest.mark.parametrize("n", [1, 2])
    async def test_with_parameters(n, virtual_time):
        await anyio.sleep(n)
        assert virtual_time.now == n

    class TestModule:
        @pytest.fixture
        def anyio_backend(self):
            return VIRTUAL_TIME

        @pytest.mark.anyio
        async def test_by_backend(self):
            await anyio.sleep(3600)

    def test_plain(virtual_time):
        virtual_time.run(anyio.sleep, 3600)
"""


def test_it_works_in_the_suite_of_others(pytester: pytest.Pytester) -> None:
    """Marked tests, async fixtures, parameters, an own `anyio_backend`, and plain tests."""
    pytester.makepyfile(SUITE)
    result = pytester.runpytest_subprocess("-p", "no:randomly", "-W", "error")
    result.assert_outcomes(passed=6)


def test_a_failure_names_its_seed(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """The seed of the environment shuffles, and is told when a test fails or hangs."""
    monkeypatch.setenv("ASYNCFLOW_SEED", "123")
    pytester.makepyfile("""
        import asyncio, pytest

        @pytest.mark.anyio
        async def test_stuck(virtual_time):
            await asyncio.Event().wait()
    """)
    result = pytester.runpytest_subprocess("-p", "no:randomly")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*DeadlockError: nothing can ever run again*seed=123*",
            "*waits in Event.wait at*test_a_failure_names_its_seed.py:5",
        ]
    )
    result.stdout.fnmatch_lines(["*seed=123 gives this order of tasks again*"])


def test_a_wrong_marker_is_refused(pytester: pytest.Pytester) -> None:
    """Whoever misspells `seed=` is told."""
    pytester.makepyfile("""
        import pytest

        @pytest.mark.virtual_time(sed=1)
        def test_x(virtual_time):
            pass
    """)
    result = pytester.runpytest_subprocess("-p", "no:randomly")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*the marker virtual_time takes seed= or seeds=*"])
