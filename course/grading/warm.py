"""A process that has loaded torch and what notebooks import, and forks one child for each exercise to run.

It never runs a student's code itself, and knows neither the seed nor an expected answer: a child can find in its memory only what it was
given, over a socket of its own. Started as `python -c "…; serve(descriptor)"` by `course.grading.worker`.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import signal
import socket
import sys
import traceback

from course.grading import channel, confinement
from course.grading.limits import Limits
from course.grading.runner import answer

# What lessons and students import: loaded once here, and not once a submission.
PRELOADED = (
    *("numpy", "torch", "torch.nn.functional", "torchvision", "matplotlib.pyplot", "skimage", "scipy.ndimage", "safetensors.torch"),
    *("IPython.core.inputtransformer2", "course.exercises.lessons", "course.exercises.predicting", "course.training"),
)
CRASHED_BEFORE = 70


def serve(descriptor: int) -> None:
    """Answer orders that come over the socket `descriptor`, one after the other, until the grader is gone."""
    confinement.die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the grader, which then ends this process
    orders = socket.socket(fileno=descriptor)
    _preload()
    gc.freeze()  # the children would otherwise copy every page whose objects a collection visits
    channel.send(orders, {"ready": True})
    with contextlib.suppress(EOFError, OSError):
        while True:
            _serve_one(orders)


def _preload() -> None:
    for name in PRELOADED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    from course.exercises.lessons import all_exercises

    all_exercises()


def _serve_one(orders: socket.socket) -> None:
    _, handles, *_ = socket.recv_fds(orders, 1, 1)
    if not handles:
        raise EOFError("the grader is gone")
    (handle,) = handles
    order, _ = channel.receive(orders)
    child = os.fork()
    if child == 0:
        _be_child(handle, order)
    os.close(handle)
    channel.send(orders, {"pid": child})
    _, status = os.waitpid(child, 0)
    channel.send(orders, {"exit": _exit_code(status)})


def _be_child(handle: int, order: dict) -> None:
    """In a sandbox: join it, fork into its process namespace, and pass on how that child ended. Never returns."""
    code = CRASHED_BEFORE
    try:
        os.setsid()  # out of the grader's process group, which could be signalled from inside otherwise
        confinement.keep_only(handle)
        code = _run_in_sandbox(handle, order) if order["sandbox"] else _run(handle, order)
    finally:
        os._exit(code)


def _run_in_sandbox(handle: int, order: dict) -> int:
    confinement.join(order["sandbox"])
    inside = os.fork()
    if inside == 0:
        code = CRASHED_BEFORE
        try:
            os.setsid()
            confinement.drop_privileges()
            confinement.limit_threads(order["limits"]["threads"])
            code = _run(handle, order)
        finally:
            os._exit(code)
    os.close(handle)
    _, status = os.waitpid(inside, 0)
    return _exit_code(status)


def _exit_code(status: int) -> int:
    """As a shell tells it: 128 + N after signal N."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _run(handle: int, order: dict) -> int:
    confinement.die_with_parent()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    os.environ.update(HOME=order["home"], TMPDIR=order["home"], MPLCONFIGDIR=order["home"])
    os.chdir(order["home"])
    confinement.limit_resources(Limits(**order["limits"]), order["processor_seconds"], order["device"])
    grader = socket.socket(fileno=handle)
    try:
        answer(grader)
    except BaseException:
        channel.send(grader, {"crashed": traceback.format_exc()})
        raise
    return 0


def command(descriptor: int) -> list[str]:
    """The command line of this process, with the import path of the running one."""
    program = f"import sys; sys.path[:] = {sys.path!r}; from course.grading.warm import serve; serve({descriptor})"
    return [sys.executable, "-c", program]
