"""The one playback widget: shows a Trace in a notebook.

Playing, stepping and hovering run in the browser. The kernel sends the trace once and is not asked again, so an animation
also plays while a cell is running.
"""

from __future__ import annotations

import base64

import anywidget
import traitlets

from segwidgets.bundle import javascript, stylesheet
from segwidgets.still import animated_png
from segwidgets.trace import Trace


class Player(anywidget.AnyWidget):
    """Plays `trace`.

    In JupyterLab, Colab and VS Code it is interactive; in a saved notebook, in nbconvert's pages and on code hosts an
    animated PNG stands in its place; as plain text it is one line with the trace's digest, which nbval compares.

    Args:
        trace: what to play.

    Raises:
        TypeError: `trace` is no Trace, or a keyword isn't known.
    """

    _esm = javascript()
    _css = stylesheet()
    _trace = traitlets.Dict().tag(sync=True)

    # ipywidgets 7 (Colab) would show only the widget through this older hook; without it IPython takes the bundle below.
    _ipython_display_ = None

    def __init__(self, trace: Trace, **unknown):
        if unknown:
            raise TypeError(f"Player takes a trace and nothing else, got {', '.join(sorted(unknown))}")
        super().__init__(_trace=_wired(trace))
        self.trace = trace

    def show(self, trace: Trace) -> None:
        """Replace what is played, also while a cell is running. Every open view follows: one that stood at the end stands at the
        new end, any other at its step. What is shown from now on, the still too, is of the new trace."""
        self._trace = _wired(trace)
        self.trace = trace

    def save(self, path, *, seconds: float | None = None) -> None:
        """Write the animation to `path`: `.html` (plays offline), `.png` (animated) or `.gif`, in which a step stays for `seconds`."""
        self.trace.save(path, seconds=seconds)

    def __repr__(self) -> str:
        return repr(self.trace)

    def _repr_mimebundle_(self, **kwargs):
        data, metadata = super()._repr_mimebundle_(**kwargs)
        png, (width, height) = animated_png(self.trace)
        data["text/plain"] = repr(self)
        data["image/png"] = base64.b64encode(png).decode()  # what the notebook format asks for
        metadata = dict(metadata or {})
        metadata["image/png"] = {"width": width, "height": height}
        return data, metadata


def _wired(trace: Trace) -> dict:
    if not isinstance(trace, Trace):
        raise TypeError(f"Player plays a Trace, got {type(trace).__name__}")
    meta, buffers = trace.wire()
    return {"meta": meta, "buffers": buffers}
