"""Whether a progress bar would be seen."""

import sys


def watched() -> bool:
    """Whether somebody sees a progress bar: at a terminal, or in a notebook that can ask its reader for input.

    A notebook that is being built or tested cannot; there a bar would end up in the stored output and differ each time.
    """
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    kernel = getattr(shell, "kernel", None)
    if kernel is not None:
        return bool(getattr(kernel, "_allow_stdin", False))
    return sys.stderr.isatty()
