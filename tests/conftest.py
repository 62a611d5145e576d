"""What holds for every test, and how several processes share the tests when pytest-xdist is asked to (`-n`)."""

import os

import pytest

WORKERS = 4  # more of them gain little: the longest tests are few
LONGEST_FIRST = ("tests/test_colab.py", "tests/browser/", "lessons/")
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
# Torch's threads wait busily: with more of them than cores, over all processes, a training takes several times as long.
# It is read when torch is loaded, and by every kernel and grader that a test starts.
if "PYTEST_XDIST_WORKER_COUNT" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, CORES // int(os.environ["PYTEST_XDIST_WORKER_COUNT"]))))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """What `-n auto` means."""
    return min(WORKERS, CORES)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """With `--dist loadfile`, the tests of a file stay in one process, as nbval and what a module shares want it. But the browser's stay
    together, for one JupyterLab, and the lessons on Colab, the longest tests of all, go one by one to whoever is free."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Sharing(LoadFileScheduling):
        def _split_scope(self, nodeid):
            if nodeid.startswith("tests/browser/"):
                return "tests/browser"
            return nodeid if nodeid.startswith("tests/test_colab.py::") else super()._split_scope(nodeid)

    return Sharing(config, log)


def pytest_collection_modifyitems(config, items):
    deselect_gpu(config, items)
    if hasattr(config, "workerinput"):
        items.sort(key=turn)


def turn(item):
    """What takes longest is begun first, so that no process is left alone with it at the end."""
    return next((place for place, start in enumerate(LONGEST_FIRST) if item.nodeid.startswith(start)), len(LONGEST_FIRST))


def deselect_gpu(config, items):
    """Tests marked `gpu` are deselected, not skipped, where torch finds no CUDA device: a skip is something to look into."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available():
        items[:] = [item for item in items if not item.get_closest_marker("gpu")]
        config.hook.pytest_deselected(items=marked)


def pytest_terminal_summary(terminalreporter):
    skipped = len(terminalreporter.stats.get("skipped", []))
    if skipped and os.environ.get("CI"):
        terminalreporter.write_line(f"{skipped} skipped, and in CI nothing may be: see the reasons above.", red=True)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and exitstatus == 0 and reporter and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
