"""Interrupts of the kernel that reach a function which answers a view.

Between messages a kernel ignores interrupts. JupyterLab brings a widget's first messages on the main thread and later ones on a thread of
their own, a subshell, where Python raises no KeyboardInterrupt: only the main thread hears signals, and only it may say what they do.
"""

from __future__ import annotations

import asyncio
import ctypes
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_at_work: set[int] = set()  # threads other than the main one that can be interrupted
_turn = threading.RLock()  # so that no thread is interrupted that is through; reentrant, since a second signal may come during the first


def main_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop of the main thread, if it is asked for there and one runs: in a kernel, while a cell is executed."""
    if threading.current_thread() is not threading.main_thread():
        return None
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


@contextmanager
def interruptible(loop: asyncio.AbstractEventLoop | None) -> Iterator[None]:
    """What is done in it gets a KeyboardInterrupt when the kernel is interrupted while it would ignore that. `loop`: the main thread's.

    While a cell is running the interrupt is the cell's. On a thread other than the main one it comes when Python is next at work there:
    not before a call into C, of `time.sleep` say, has come back.
    """
    if threading.current_thread() is threading.main_thread():
        with _heard_here():
            yield
        return
    thread = threading.get_ident()
    try:
        _at_work.add(thread)
        _tell(loop)
        yield
    finally:
        with _turn:
            _at_work.discard(thread)
            _raise_in(thread, None)  # an interrupt that came too late to be raised inside
        _tell(loop)


@contextmanager
def _heard_here() -> Iterator[None]:
    before = signal.getsignal(signal.SIGINT)
    if before not in (signal.SIG_IGN, _pass_on):
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _tell(loop: asyncio.AbstractEventLoop | None) -> None:
    if loop is not None and not loop.is_closed():
        loop.call_soon_threadsafe(_listen)


def _listen() -> None:
    """On the main thread: signals are passed on as long as somebody is at work elsewhere; then they are ignored as before.

    A kernel that has a message puts its own handler in place of this one and this one back, maybe when nobody is at work any more; it does
    nothing then, and goes next time.
    """
    handler = signal.getsignal(signal.SIGINT)
    if _at_work and handler is signal.SIG_IGN:
        signal.signal(signal.SIGINT, _pass_on)
    elif not _at_work and handler is _pass_on:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _pass_on(number, frame) -> None:
    with _turn:
        while _at_work:
            _raise_in(_at_work.pop(), KeyboardInterrupt)


def _raise_in(thread: int, exception: type[BaseException] | None) -> None:
    """CPython's only way to interrupt another thread: the exception is raised at its next bytecode; None takes one back that waits."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), exception and ctypes.py_object(exception))
