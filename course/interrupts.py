"""Ctrl-C, and the stop button of a notebook, between steps and not within one."""

import contextlib
import signal
from collections.abc import Iterator


@contextlib.contextmanager
def interrupt_afterwards() -> Iterator[None]:
    """Ctrl-C takes effect at the end of the block; a second one takes effect at once.

    An interruption in the middle of an optimiser's update would leave some weights new and others old.

    Raises: KeyboardInterrupt, at the end of the block, when Ctrl-C came within it.
    """
    came = []

    def wait(number, frame):
        if came:
            raise KeyboardInterrupt
        came.append(number)

    before = signal.getsignal(signal.SIGINT)
    try:
        signal.signal(signal.SIGINT, wait)
    except ValueError:  # only the main thread sets signals, and only the main thread is ever interrupted by them
        before = None
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)
    if came:
        raise KeyboardInterrupt
