"""What holds for every test."""

import os

import pytest


def pytest_collection_modifyitems(config, items):
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
