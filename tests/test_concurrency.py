"""The `concurrency:` block as a dict, from YAML and from the environment: what it means, and what it refuses."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from asyncflow import PER_VALUE, ConcurrencyConfig, ConfigurationError, Deployment, TagLimit
from asyncflow.concurrency import PoolConfig, PoolsConfig

REFERENCE = """
telemetry:
  enabled: false
concurrency:
  runs:
    max_concurrent_runs: 15
    tag_concurrency_limits:
      - key: "dagster/backfill"
        limit: 10
      - key: "team"
        value:
          applyLimitPerUniqueValue: true
        limit: 3
      - key: "database"
        value: "redshift"
        limit: 4
      - key: "any"
        value:
          applyLimitPerUniqueValue: false
        limit: 5
  pools:
    default_limit: 1
    granularity: "run"
    op_granularity_run_buffer: 1
"""


def test_the_block_of_the_reference_loads_unchanged(tmp_path: Path) -> None:
    """Every field of Dagster's own reference means what it means there."""
    file = tmp_path / "dagster.yaml"
    file.write_text(REFERENCE)
    config = Deployment.from_yaml(file).concurrency
    assert config.runs.max_concurrent_runs == 15
    assert config.runs.tag_concurrency_limits == (
        TagLimit("dagster/backfill", None, 10),
        TagLimit("team", PER_VALUE, 3),
        TagLimit("database", "redshift", 4),
        TagLimit("any", None, 5),
    )
    assert (config.pools.default_limit, config.pools.granularity, config.pools.op_granularity_run_buffer) == (
        1,
        "run",
        1,
    )


def test_a_mapping_and_a_file_mean_the_same(tmp_path: Path) -> None:
    """And so does the config itself."""
    block = {"runs": {"max_concurrent_runs": 2, "max_queued": 9}, "pools": {"limits": {"db": 1, "api": {"limit": 5}}}}
    file = tmp_path / "limits.yaml"
    file.write_text(
        "concurrency: {runs: {max_concurrent_runs: 2, max_queued: 9}, pools: {limits: {db: 1, api: {limit: 5}}}}"
    )
    assert ConcurrencyConfig.from_yaml(file) == ConcurrencyConfig.of(block)
    assert ConcurrencyConfig.of(ConcurrencyConfig.of(block)) == ConcurrencyConfig.of(block)


@pytest.mark.parametrize(
    ("block", "told"),
    [
        ({"runs": {"max_concurrent_runs": -2}}, r"concurrency\.runs\.max_concurrent_runs.*negative"),
        ({"runs": {"max_concurrent_runs": True}}, r"concurrency\.runs\.max_concurrent_runs.*not bool"),
        ({"runs": {"max_concurrent_runs": "10"}}, r"concurrency\.runs\.max_concurrent_runs.*not str"),
        ({"runs": {"max_concurrent_runs": 1.5}}, r"concurrency\.runs\.max_concurrent_runs.*not float"),
        ({"runs": {"max_queued": -1}}, r"concurrency\.runs\.max_queued.*negative"),
        (
            {"runs": {"max_concurent_runs": 1}},
            r"runs\.max_concurent_runs is not known; did you mean 'max_concurrent_runs'",
        ),
        ({"run": {}}, r"concurrency\.run is not known; did you mean 'runs'"),
        ({"runs": {"tag_concurrency_limits": {"key": "a"}}}, r"tag_concurrency_limits: must be a list"),
        ({"runs": {"tag_concurrency_limits": [{"key": "a"}]}}, r"rule 0 has no 'limit'"),
        ({"runs": {"tag_concurrency_limits": [{"limit": 1}]}}, r"rule 0 has no 'key'"),
        ({"runs": {"tag_concurrency_limits": [{"key": "a", "limit": 1, "vaule": "x"}]}}, r"did you mean 'value'"),
        ({"runs": {"tag_concurrency_limits": [{"key": "a", "limit": -1}]}}, r"negative"),
        ({"runs": {"tag_concurrency_limits": [{"key": "a", "limit": 1, "value": 3}]}}, r"rule 0 must be a string or"),
        ({"runs": {"tag_concurrency_limits": [{"key": "a", "limit": 1}] * 2}}, r"two rules for key 'a'"),
        ({"runs": {"tag_concurrency_limits": [3]}}, r"rule 0 must be a TagLimit or a mapping"),
        (
            {
                "runs": {
                    "tag_concurrency_limits": [{"key": "a", "limit": 1, "value": {"applyLimitPerUniqueValue": "y"}}]
                }
            },
            r"with True or False",
        ),
        ({"pools": {"strict": "yes"}}, r"concurrency\.pools\.strict: must be True or False"),
        ({"pools": {"granularity": "ops"}}, r"concurrency\.pools\.granularity.*'op' or 'run'"),
        ({"pools": {"op_granularity_run_buffer": -1}}, r"op_granularity_run_buffer.*negative"),
        ({"pools": {"op_granularity_run_buffer": None}}, r"op_granularity_run_buffer.*not None"),
        ({"pools": {"limits": {"db": -1}}}, r"limits\['db'\].*negative"),
        ({"pools": {"limits": {"db": {"limt": 1}}}}, r"did you mean 'limit'"),
        ({"pools": {"limits": {"api:1": 1}}}, r"a key has no limit of its own"),
        ({"pools": {"limits": {"@x": 1}}}, r"may not begin with '@'"),
        ({"pools": {"limits": {"db": {"granularity": "x"}}}}, r"limits\.db\.granularity"),
        ({"max_concurrent_branch_deployment_runs": "x"}, r"max_concurrent_branch_deployment_runs.*not str"),
        (3, r"must be a mapping or a ConcurrencyConfig, not int"),
    ],
)
def test_what_does_not_fit_is_named(block: Any, told: str) -> None:
    """Field, rule, and the nearest right spelling."""
    with pytest.raises(ConfigurationError, match=told):
        ConcurrencyConfig.of(block)


@pytest.mark.parametrize("name", ["@max_concurrent_runs", "api:1", ""])
def test_models_made_by_hand_check_pool_names_too(name: str) -> None:
    """Not only `of`: a pool named like one of asyncflow's own limits would take its place."""
    with pytest.raises(ValidationError, match=r"name|a key has no limit"):
        PoolsConfig(limits={name: PoolConfig(limit=1)})


def test_models_made_by_hand_take_short_limits() -> None:
    """A number for a pool means its limit, as in a mapping."""
    config = ConcurrencyConfig.model_validate({"pools": {"limits": {"db": 1}}})
    assert config == ConcurrencyConfig.of({"pools": {"limits": {"db": 1}}})


def test_minus_one_is_unlimited_for_runs_as_in_dagster() -> None:
    """There only."""
    assert ConcurrencyConfig.of({"runs": {"max_concurrent_runs": -1}}).runs.max_concurrent_runs is None


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["runs", "pools", "limits", "db", "limit", "key", "value", "strict", "tag_concurrency_limits", "x"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JUNK)
@settings(max_examples=300)
def test_junk_is_a_config_or_a_configuration_error(junk: Any) -> None:
    """Never another exception."""
    try:
        ConcurrencyConfig.of(junk)
    except ConfigurationError as error:
        assert str(error)


# ── files ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("concurency: {}", r"no `concurrency:`.*'concurency' should read 'concurrency'"),
        ("runs: {}", r"no `concurrency:` at its top level, only 'runs'"),
        ("concurrency: {runs: {max_concurent_runs: 3}}", r"d\.yaml: concurrency\.runs\.max_concurent_runs"),
        ("a: &a [1]\nconcurrency: *a", r"line 2: aliases \(\*a\) are not read"),
        ("concurrency: {pools: {strict: true, strict: false}}", r"line 1: 'strict' stands there twice"),
        ("concurrency:\n  runs: [", r"line \d+ is no YAML"),
        ("concurrency: 3", r"must be a mapping, not int"),
        ("", r"must be a mapping with `concurrency:` in it, not NoneType"),
        ("- 1", r"not list"),
        ("run_queue: {max_concurrent_runs: 3}\nconcurrency: {}", r"'run_queue' is where older files"),
        (
            "run_coordinator: {class: Q, config: {tag_concurrency_limits: []}}\nconcurrency: {}",
            r"'run_coordinator' is where older files set 'tag_concurrency_limits'",
        ),
        ("concurrency: " + "[" * 50 + "]" * 50, r"nested more than 32 levels"),
        ("x: !!python/object/apply:os.system [echo]\nconcurrency: {}", r"is no YAML"),
        ("concurrency: {\x00}", r"is no YAML"),
        ("concurrency: {runs: {max_queued: !!int ''}}", r"is no YAML"),
        ("x: !!bool y\nconcurrency: {}", r"is no YAML"),
        ("x: !!timestamp y\nconcurrency: {}", r"is no YAML"),
        ("x: [" + "a," * 25_000 + "]\nconcurrency: {}", r"more than 20,000 values"),
        ("#" * (1024 * 1024 + 1), r"larger than 1,048,576 bytes"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, text: str, told: str) -> None:
    """The file, the line where it can be known, and why. Nothing in a file is ever run."""
    file = tmp_path / "d.yaml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=told):
        Deployment.from_yaml(file)


def test_an_older_block_without_limits_is_left_alone(tmp_path: Path) -> None:
    """Given a coordinator's class beside `concurrency:`, as many files have it, when read, then the block counts."""
    file = tmp_path / "dagster.yaml"
    file.write_text("run_coordinator: {module: m, class: Q}\nrun_queue:\nconcurrency: {runs: {max_concurrent_runs: 4}}")
    assert ConcurrencyConfig.from_yaml(file).runs.max_concurrent_runs == 4


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """None there, a folder, other bytes than text."""
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        ConcurrencyConfig.from_yaml(tmp_path / "none.yaml")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        ConcurrencyConfig.from_yaml(tmp_path)
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\xfa\x81")
    with pytest.raises(ConfigurationError, match=r"bytes\.yaml"):
        ConcurrencyConfig.from_yaml(tmp_path / "bytes.yaml")


@given(st.binary(max_size=200))
@settings(max_examples=200)
def test_any_bytes_are_a_config_or_a_configuration_error(tmp_path_factory: pytest.TempPathFactory, text: bytes) -> None:
    """Never another exception."""
    file = tmp_path_factory.getbasetemp() / "fuzz.yaml"
    file.write_bytes(b"concurrency: " + text)
    try:
        ConcurrencyConfig.from_yaml(file)
    except ConfigurationError as error:
        assert str(error)


def test_an_empty_block_is_no_limit(tmp_path: Path) -> None:
    """`concurrency:` with nothing behind it."""
    file = tmp_path / "d.yaml"
    file.write_text("concurrency:\n")
    assert ConcurrencyConfig.from_yaml(file) == ConcurrencyConfig()


# ── the environment ───────────────────────────────────────────────────────────────────────────────────────────────


def read(monkeypatch: pytest.MonkeyPatch, **variables: str) -> ConcurrencyConfig:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return ConcurrencyConfig.from_env("LIMITS_")


def test_levels_and_json_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """`__` between levels, JSON where there are lists and mappings; nothing set is no limit."""
    assert read(monkeypatch) == ConcurrencyConfig()
    config = read(
        monkeypatch,
        LIMITS_RUNS__MAX_CONCURRENT_RUNS="10",
        LIMITS_RUNS__MAX_QUEUED="none",
        LIMITS_RUNS__TAG_CONCURRENCY_LIMITS='[{"key": "t", "value": {"applyLimitPerUniqueValue": true}, "limit": 3}]',
        LIMITS_POOLS__DEFAULT_LIMIT="3",
        LIMITS_POOLS__STRICT="true",
        LIMITS_POOLS__LIMITS='{"db": 1, "api": {"limit": 5, "per_key": 1}}',
        LIMITS_MAX_CONCURRENT_BRANCH_DEPLOYMENT_RUNS="7",
    )
    assert config == ConcurrencyConfig.of(
        {
            "runs": {"max_concurrent_runs": 10, "tag_concurrency_limits": [TagLimit("t", PER_VALUE, 3)]},
            "pools": {"default_limit": 3, "strict": True, "limits": {"db": 1, "api": {"limit": 5, "per_key": 1}}},
            "max_concurrent_branch_deployment_runs": 7,
        }
    )


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("LIMITS_RUN__MAX_QUEUED", "1", "environment variable LIMITS_RUN__MAX_QUEUED is not known"),
        ("LIMITS_RUNS__MAX_CONCURENT_RUNS", "1", "LIMITS_RUNS__MAX_CONCURENT_RUNS is not known; did you mean"),
        ("LIMITS_RUNS__MAX_CONCURRENT_RUNS", "1.5", "LIMITS_RUNS__MAX_CONCURRENT_RUNS: .* not str"),
        ("LIMITS_RUNS__MAX_CONCURRENT_RUNS", "-7", "LIMITS_RUNS__MAX_CONCURRENT_RUNS: .* negative"),
        ("LIMITS_RUNS__MAX_CONCURRENT_RUNS", "", "LIMITS_RUNS__MAX_CONCURRENT_RUNS: .* not str"),
        ("LIMITS_POOLS", "{bad", "variable LIMITS_POOLS is no JSON"),
        ("LIMITS_RUNS__TAG_CONCURRENCY_LIMITS", "x", "variable LIMITS_RUNS__TAG_CONCURRENCY_LIMITS is no JSON"),
        ("LIMITS_POOLS__LIMITS", "[" * 100_000, "variable LIMITS_POOLS__LIMITS is no JSON"),
        ("LIMITS_POOLS__LIMITS", '{"db": 1, "db": 2}', "LIMITS_POOLS__LIMITS has 'db' twice"),
    ],
)
def test_variables_that_do_not_fit_are_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str) -> None:
    """The variable, not the field."""
    with pytest.raises(ConfigurationError, match=told):
        read(monkeypatch, **{name: value})


def test_variables_of_others_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that only shares the prefix."""
    assert read(monkeypatch, LIMITS_SEED="5") == ConcurrencyConfig()


# ── without the extra ─────────────────────────────────────────────────────────────────────────────────────────────


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Dicts work; files and the environment say `pip install`."""
    monkeypatch.setitem(sys.modules, "yaml", None)
    monkeypatch.setitem(sys.modules, "pydantic_settings", None)
    assert Deployment(concurrency={"pools": {"limits": {"db": 1}}}).concurrency.pools.limits["db"].limit == 1
    (tmp_path / "d.yaml").write_text("concurrency:\n")
    with pytest.raises(ConfigurationError, match=r"pip install 'asyncflow-executor\[settings\]'"):
        ConcurrencyConfig.from_yaml(tmp_path / "d.yaml")
    with pytest.raises(ConfigurationError, match=r"pip install 'asyncflow-executor\[settings\]'"):
        ConcurrencyConfig.from_env()
