"""What the package never does."""

import ast

import pytest

from tests.architecture.source import called_name, imported_modules, modules

SPAWN = "src/asyncflow/_executor/spawn.py"
STARTERS = frozenset({"create_task", "ensure_future", "start_soon", "run_coroutine_threadsafe", "Task", "eager_start"})
UNSAFE_CALLS = frozenset({"eval", "exec", "compile", "__import__", "yaml.load", "os.system", "os.popen"})
PARCELS = "src/asyncflow/_workers/parcel.py"
"""What crosses the pipe to our own worker processes is pickled, there and nowhere else."""
UNSAFE_MODULES = frozenset({"pickle", "marshal", "shelve", "dill", "cloudpickle", "jsonpickle"})
PURE = frozenset({"_authoring", "_plan", "_limits", "_scheduler"})


def test_tasks_start_in_one_file() -> None:
    """Who starts a task must answer for its end; that is `_executor/spawn.py` (the loop of `testing` aside)."""
    starts = [
        f"{module.at(node)} {called_name(node)}"
        for module in modules()
        if module.path != SPAWN and module.room != "testing"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and called_name(node).split(".")[-1] in STARTERS
    ]
    assert starts == []


def test_nothing_is_evaluated_or_unpickled() -> None:
    """No code and no object comes out of data: no eval, no pickle, no shell."""
    found: list[str] = []
    for module in modules():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call):
                if called_name(node) in UNSAFE_CALLS:
                    found.append(f"{module.at(node)} calls {called_name(node)}")
                if any(word.arg == "shell" and getattr(word.value, "value", None) is True for word in node.keywords):
                    found.append(f"{module.at(node)} starts a shell")
            elif isinstance(node, ast.Import | ast.ImportFrom):
                found.extend(
                    f"{module.at(node)} imports {name}"
                    for name in imported_modules(node)
                    if name.split(".")[0] in UNSAFE_MODULES and module.path != PARCELS
                )
    assert found == []


def test_no_assert_guards_anything() -> None:
    """`python -O` removes assert statements, so none may decide."""
    found = [module.at(node) for module in modules() for node in ast.walk(module.tree) if isinstance(node, ast.Assert)]
    assert found == []


@pytest.mark.parametrize("room", sorted(PURE))
def test_what_decides_does_not_wait(room: str) -> None:
    """Everything left of the executor is synchronous."""
    found = [
        module.at(node)
        for module in modules()
        if module.room == room
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Await | ast.AsyncFor | ast.AsyncWith | ast.AsyncFunctionDef)
    ]
    assert found == []


def test_statements_are_not_built_from_names() -> None:
    """SQL is constant: no f-string, concatenation or `format` reaches `execute`."""
    built = (ast.JoinedStr, ast.BinOp, ast.Call)
    found = [
        module.at(node)
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call)
        and called_name(node).split(".")[-1] in {"execute", "executemany", "executescript"}
        and node.args
        and isinstance(node.args[0], built)
    ]
    assert found == []
