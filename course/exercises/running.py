"""Call one function on one case, and say what came of it, as plain tensors or as a sentence.

Nothing here knows the expected answer, so that the same call can be made in a process of its own.
"""

from __future__ import annotations

import contextlib
import inspect
import linecache
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch

from course.exercises.comparing import compare
from course.exercises.exercise import Case, Value

_PLAIN_TENSORS = (torch.Tensor, torch.nn.Parameter)


@dataclass(frozen=True)
class Outcome:
    """What a call came to.

    `kind` is `"returned"` (then `arrays` holds the result), or why there is nothing to compare: `"not written"`,
    `"not callable"`, `"raised"`, `"none"`, `"unusable"`, `"modified"` (an input was changed; `arrays` still holds the
    result). `sentence` tells the student. `arrays` are CPU tensors, one a part of the result.
    """

    kind: str
    arrays: Mapping[str, torch.Tensor] = field(default_factory=dict)
    sentence: str = ""


def plain_arrays(result: object) -> dict[str, torch.Tensor]:
    """A function's result as plain CPU tensors, one a part: `{"result": …}`, or `{"result[0]": …, "result[1]": …}`.

    Accepted are tensors, NumPy arrays, numbers, tuples or lists of these, and dicts of these. A tuple of numbers alone is one part. The
    order of a dict's keys means nothing.
    Subclasses are refused: one whose `==` is always true would be right about everything.

    Raises:
        TypeError: When the result, or a part of it, is something else.
    """
    if isinstance(result, (tuple, list)):
        entries = list(tuple.__iter__(result) if isinstance(result, tuple) else list.__iter__(result))
        if entries and all(type(entry) in (int, float) for entry in entries):
            return {"result": _from_numbers(entries)}
        return {f"result[{place}]": _plain_tensor(entry) for place, entry in enumerate(entries)}
    if type(result) is dict:
        return {f"result[{key!r}]": _plain_tensor(result[key]) for key in sorted(result, key=repr)}
    return {"result": _plain_tensor(result)}


def _from_numbers(numbers: bool | int | float | list) -> torch.Tensor:
    """Python's floats are doubles: as float32, which is torch's default, 0.1 would not be the 0.1 that was returned."""
    try:
        tensor = torch.tensor(numbers)
        return tensor.new_tensor(numbers, dtype=torch.float64) if tensor.is_floating_point() else tensor
    except (RuntimeError, ValueError, OverflowError):  # which of them depends on torch's version
        raise TypeError("a whole number of more than 64 bits") from None


def _plain_tensor(value: object) -> torch.Tensor:
    if type(value) in (bool, int, float):
        return _from_numbers(value)
    if type(value) is np.ndarray or isinstance(value, np.generic):
        if value.dtype.kind not in "biuf":
            raise TypeError(f"a NumPy array of {value.dtype}; return numbers")
        return torch.from_numpy(np.array(value, dtype=value.dtype.newbyteorder("=")))
    if type(value) not in _PLAIN_TENSORS:
        name = type(value).__name__
        if isinstance(value, torch.Tensor):
            raise TypeError(f"an object of type {name}, a tensor class of its own; return a plain torch.Tensor")
        raise TypeError(f"an object of type {name}; return a tensor")
    if value.is_complex():
        raise TypeError("complex numbers; return real ones")
    if value.layout is not torch.strided or value.is_meta or value.is_quantized:
        raise TypeError("a tensor without plain values (sparse, quantized or meta); return a dense tensor")
    return value.detach().to("cpu", copy=True)


def on_device(value: Value, device: str) -> Value:
    """A copy of a case's input on the device; float64 becomes float32 on MPS, which has no float64."""
    if not isinstance(value, torch.Tensor):
        return value
    if device == "mps" and value.dtype is torch.float64:
        value = value.float()
    return value.clone().to(device)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one CPU thread: cases are so small that waiting for a second one takes longer than the work, and order stays defined."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def run(function: Callable, case: Case, device: str = "cpu") -> Outcome:
    """Call the function on copies of the case's inputs; whatever it prints or warns of has no part in the outcome."""
    inputs = {name: on_device(value, device) for name, value in case.inputs.items()}
    try:
        inspect.signature(function).bind(**inputs)
    except TypeError as error:
        arguments = ", ".join(inputs)
        return Outcome("not callable", sentence=f"It cannot be called with ({arguments}): {error}. Keep the starter's first line.")
    try:
        with one_thread(), warnings.catch_warnings():
            warnings.simplefilter("default")  # a warning turned into an error by the notebook would fail a right answer
            result = function(**inputs)
    except NotImplementedError as error:
        return raised(function, error, kind="not written")
    except (Exception, SystemExit) as error:
        return raised(function, error, kind="raised")
    return _outcome_of(result, inputs, case, device)


def _outcome_of(result: object, inputs: Mapping[str, Value], case: Case, device: str) -> Outcome:
    if result is None:
        return Outcome("none", sentence="It returned None: is there a return?")
    try:
        arrays = plain_arrays(result)
    except TypeError as error:
        return Outcome("unusable", sentence=f"It returned {error}.")
    for name, before in case.inputs.items():
        if isinstance(before, torch.Tensor) and compare(plain_arrays(on_device(before, device)), plain_arrays(inputs[name]), 0.0):
            return Outcome("modified", arrays, f"It changed its input {name!r}. Leave inputs as they are: write into a new tensor.")
    takes_tensors = any(isinstance(value, torch.Tensor) for value in inputs.values())
    if takes_tensors and type(result) in _PLAIN_TENSORS and result.device.type != device.partition(":")[0]:
        sentence = f"The inputs are on {device} and the result is on {result.device.type}: make new tensors with device=x.device."
        return Outcome("unusable", sentence=sentence)
    return Outcome("returned", arrays)


def raised(function: Callable, error: BaseException, kind: str) -> Outcome:
    """The outcome of a call that ended with an error: what it says, and the line of the function's own file or cell."""
    if kind == "not written":
        return Outcome(kind, sentence="Put your code in place of raise NotImplementedError.")
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return Outcome(kind, sentence=f"It raised {what}{_own_line(function, error)}")


def _own_line(function: Callable, error: BaseException) -> str:
    """Where in the student's own code it happened: the deepest frame of the traceback that is in the function's file or cell."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    place, trace = None, error.__traceback__
    while trace is not None:
        if code is not None and trace.tb_frame.f_code.co_filename == code.co_filename:
            place = trace.tb_lineno
        trace = trace.tb_next
    if place is None:
        return "."
    line = linecache.getline(code.co_filename, place).strip()
    return f", at line {place}: {line}" if line else f", at line {place}."
