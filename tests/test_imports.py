"""Imports run one way, without cycles, and importing has no effects.

torch ← course.ops ← course.*        course.ops ← segwidgets        both ← lessons, tests
"""

import ast
import graphlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("course", "segwidgets")
NOTEBOOK_PACKAGES = {"IPython", "ipywidgets", "ipykernel"}


def modules() -> dict[str, Path]:
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def module_level(tree: ast.Module) -> Iterator[ast.stmt]:
    """Statements that run on import: not those inside functions, nor under `if TYPE_CHECKING`."""
    waiting = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
            continue
        yield node
        waiting += [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt | ast.ExceptHandler)]


def imported(source: str, name: str, everywhere: bool = False) -> set[str]:
    """The modules that module `name` imports, at module level or everywhere; submodules of ours in their full name."""
    tree = ast.parse(source)
    found = set()
    for node in ast.walk(tree) if everywhere else module_level(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: imports are absolute"
            full = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {known if known in MODULES else node.module for known in full}
    return found


def imports_of(name: str, everywhere: bool = False) -> set[str]:
    return imported(MODULES[name].read_text(encoding="utf-8"), name, everywhere)


def inside(module: str, *packages: str) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def forbidden(name: str, module: str) -> bool:
    """Whether the module `name` may not import `module` at module level."""
    if inside(name, "course.ops"):
        third_party = module.partition(".")[0] not in sys.stdlib_module_names | {"course", "torch"}
        return third_party or inside(module, "course") and not inside(module, "course.ops")
    if inside(name, "course"):
        return inside(module, "segwidgets", *NOTEBOOK_PACKAGES)
    return inside(module, "course") and not inside(module, "course.ops")


@pytest.mark.parametrize(
    "name, module, answer",
    [
        ("course.ops.nms", "torch", False),
        ("course.ops.nms", "course.ops.boxes", False),
        ("course.ops.nms", "numpy", True),
        ("course.ops.nms", "course.metrics", True),
        ("course.models.fcn", "course.ops.nms", False),
        ("course.models.fcn", "segwidgets.unpool", True),
        ("course.exercises", "IPython.display", True),
        ("segwidgets.nms", "course.ops.nms", False),
        ("segwidgets.nms", "anywidget", False),
        ("segwidgets.nms", "course.models.fcn", True),
        ("segwidgets.nms", "course", True),
    ],
)
def test_the_rule_itself(name, module, answer):
    assert forbidden(name, module) is answer


def test_the_reading_of_imports():
    source = "import torch\nfrom course import errors\ntry:\n    import numpy\nexcept ImportError:\n    import scipy\n"
    source += "def f():\n    import IPython\n"
    assert imported(source, "x") == {"torch", "course.errors", "numpy", "scipy"}
    assert imported(source, "x", everywhere=True) == {"torch", "course.errors", "numpy", "scipy", "IPython"}


@pytest.mark.parametrize("name", MODULES)
def test_imports_run_one_way(name):
    assert [module for module in sorted(imports_of(name)) if forbidden(name, module)] == []


@pytest.mark.parametrize("name", [name for name in MODULES if inside(name, "course")])
def test_the_course_never_imports_the_widgets_inside_a_function_either(name):
    assert not [module for module in imports_of(name, everywhere=True) if inside(module, "segwidgets")]


def test_there_are_no_cycles():
    graph = {name: {module for module in imports_of(name) if module in MODULES and module != name} for name in MODULES}
    for name in graph:  # a package's __init__ is run before its modules; that they name each other is no cycle of imports
        graph[name] = {module for module in graph[name] if not name.startswith(f"{module}.")}
    list(graphlib.TopologicalSorter(graph).static_order())


EFFECTS = """
import os, socket, sys, json, warnings
warnings.simplefilter("error")
def refuse(*_, **__):
    raise AssertionError("importing opened a connection")
socket.socket.connect = socket.getaddrinfo = refuse
import torch, torchvision, numpy, random  # what they set themselves is theirs: torchvision names a cache folder in the environment
before = None
def state():
    numpy_state = numpy.random.get_state()
    return [str(torch.get_default_dtype()), torch.initial_seed(), torch.get_rng_state().tolist(), torch.get_num_threads(),
        torch.is_grad_enabled(), torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark,
        numpy_state[1].tolist(), random.getstate(), numpy.get_printoptions(), dict(os.environ), os.getcwd(), sorted(os.listdir())]
random.seed(1); numpy.random.seed(1); torch.manual_seed(1)
before = json.dumps(state(), default=str)
warnings.simplefilter("default")
import importlib
for name in NAMES:
    importlib.import_module(name)
assert json.dumps(state(), default=str) == before, "importing changed a setting"
shown = sys.modules.get("matplotlib")
assert shown is None or shown.rcParams._get_backend_or_none() is None, "importing chose a plotting backend"
assert "matplotlib.pyplot" not in sys.modules, "importing loaded pyplot"
"""


def run(program: str, cwd: Path) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=cwd)


def test_importing_everything_has_no_effects(tmp_path):
    names = [name for name in MODULES if not name.endswith("__main__")]
    answer = run(EFFECTS.replace("NAMES", json.dumps(names)), tmp_path)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")


def test_import_course_is_light_and_still_offers_check_and_submit(tmp_path):
    loaded = "print([m for m in ('torch', 'numpy', 'IPython') if m in sys.modules])"
    assert run(f"import sys, course; {loaded}", tmp_path).stdout == "[]\n"
    assert run("from course import check, submit; print(check.__name__, submit.__name__)", tmp_path).stdout == "check submit\n"


def test_an_unknown_name_of_the_course_is_told():
    import course

    with pytest.raises(AttributeError, match="module 'course' has no attribute 'chek'; it offers __version__, check, submit"):
        course.chek  # noqa: B018
    assert set(dir(course)) >= {"__version__", "check", "submit"}
