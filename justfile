# The verbs of the project. `just` alone lists them.

python := ".venv/bin/python"

[private]
default:
    @just --list

# Make the environment from the lock file
setup:
    uv sync --extra test --group dev

# Format, and fix what can be fixed
fix:
    {{python}} -m ruff check --fix .
    {{python}} -m ruff format .

# Lint, types, layers, architecture and fast tests: seconds
check:
    {{python}} -m ruff check .
    {{python}} -m ruff format --check .
    {{python}} -m mypy
    {{python}} -m pyright
    .venv/bin/lint-imports
    {{python}} -m pytest -q -m "not slow and not soak"

# Tests: all, or those under a path
test *arguments:
    {{python}} -m pytest {{arguments}}

# Minutes to hours: random histories, memory, chaos
soak *arguments:
    {{python}} -m pytest -m soak --timeout 0 {{arguments}}

# Every number of benchmarks/README.md
bench *arguments:
    {{python}} -m benchmarks {{arguments}}

# Other Pythons, other loops, lowest versions
nox *arguments:
    uv run --group dev nox {{arguments}}

# Collect changelog.d into CHANGELOG.md
news version:
    uv run --group dev towncrier build --version {{version}}

# The gate, as CI runs it
ci:
    bash .ci/run
