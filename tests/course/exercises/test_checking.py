"""`check` on whatever a student may write."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from course.exercises import check
from course.exercises.running import plain_arrays


def right(x, scale):
    height, width = (scale, scale) if isinstance(scale, int) else scale
    output = x.new_zeros(*x.shape[:2], x.shape[2] * height, x.shape[3] * width)
    output[:, :, ::height, ::width] = x
    return output


def named(function, name="bed_of_nails"):
    function.__name__ = name
    return function


def verdict(function, **options):
    return check(named(function), **options)


def test_a_right_function_passes_and_is_true():
    result = verdict(lambda x, scale: right(x, scale))
    assert result.passed and bool(result)
    assert result.inputs == {}


def test_the_first_wrong_case_is_shown_with_inputs_expected_got_and_where():
    def wrong_at_scale_3(x, scale):
        output = right(x, scale)
        if scale == 3:
            output[0, 0, 4, 5] += 50
        return output

    result = verdict(wrong_at_scale_3)
    text = repr(result)
    assert "case 3 of 8 is not right (scale 3)" in text
    assert "1 of 36 values differs, the first at [0, 0, 4, 5]: expected 0, got 50." in text
    assert "x [1, 1, 2, 2]" in text and "scale = 3" in text and "expected [1, 1, 6, 6]" in text and "got [1, 1, 6, 6]" in text
    assert "≠50" in text
    assert not torch.equal(wrong_at_scale_3(**result.inputs), right(**result.inputs))


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda x, scale: None, "It returned None: is there a return?"),
        (lambda x, scale: right(x, scale)[0], "The shape is [1, 4, 4]; expected [1, 1, 4, 4]."),
        (lambda x, scale: right(x, scale).long(), "The dtype is int64; expected float32."),
        (lambda x, scale: right(x, scale).half(), "The dtype is float16; expected float32."),
        (lambda x, scale: right(x, scale) + 0j, "It returned complex numbers; return real ones."),
        (lambda x, scale: right(x, scale) > 0, "The dtype is bool; expected float32."),
        (lambda x, scale: right(x, scale).sum(), "The shape is [] (a single number); expected [1, 1, 4, 4]."),
        (lambda x, scale: 7, "The shape is [] (a single number); expected [1, 1, 4, 4]."),
        (lambda x, scale: "a tensor", "It returned an object of type str; return a tensor."),
        (lambda x, scale: [["nested"]], "It returned an object of type list; return a tensor."),
        (lambda x, scale: np.array(["a"]), "It returned a NumPy array of <U1; return numbers."),
        (lambda x, scale: (right(x, scale), 1), "It returned 2 values (result[0], result[1]); expected one value."),
        (lambda x, scale: (), "It returned nothing; expected one value."),
        (lambda x, scale: 10**30, "It returned a whole number of more than 64 bits."),
        (lambda x, scale: right(x, scale).to_sparse(), "It returned a tensor without plain values"),
        (lambda x, scale: right(x, scale).to("meta"), "It returned a tensor without plain values"),
        (lambda x, scale: right(x, scale) * float("nan"), "got NaN"),
        (lambda x, scale: right(x, scale) + float("inf"), "got ∞"),
        (lambda picture, scale: right(picture, scale), "It cannot be called with (x, scale)"),
        (lambda x: x, "It cannot be called with (x, scale)"),
        (lambda x, scale: sys.exit(3), "It raised SystemExit: 3"),
        (lambda x, scale: verdict(1), "It raised AttributeError"),
    ],
)
def test_what_is_wrong_is_said(function, said):
    result = verdict(function)
    assert not result.passed
    assert said in repr(result)


def test_an_exception_is_told_with_the_students_own_line_not_with_torchs():
    def bed_of_nails(x, scale):
        larger = x.repeat(1, 1, 2, 2)
        return F.max_unpool2d(larger, larger, scale)  # Python code of torch's raises, some calls further down

    line = bed_of_nails.__code__.co_firstlineno + 2
    assert f"at line {line}: return F.max_unpool2d(larger, larger, scale)  # Python" in repr(check(bed_of_nails))


def test_an_exception_in_the_students_helper_is_told_with_the_helpers_line():
    def helper(x):
        return x[99]

    def bed_of_nails(x, scale):
        return helper(x)

    assert f"at line {helper.__code__.co_firstlineno + 1}: return x[99]" in repr(check(bed_of_nails))


def test_endless_recursion_is_told():
    def bed_of_nails(x, scale):
        return bed_of_nails(x, scale)

    assert "It raised RecursionError" in repr(check(bed_of_nails))


def test_not_implemented_is_told_kindly():
    def bed_of_nails(x, scale):
        raise NotImplementedError

    result = check(bed_of_nails)
    assert repr(result).splitlines()[0] == "○ bed_of_nails: not written yet."
    for shown in (repr(result), result._repr_html_()):
        assert shown.count("written yet") == 1
        assert "raise NotImplementedError" in shown and "`" not in shown
        assert "expected" not in shown


@pytest.mark.parametrize(
    "change", [lambda x: x.mul_(2), lambda x: x.resize_(1), lambda x: x.zero_(), lambda x: x.data.add_(1), lambda x: x.fill_(float("nan"))]
)
def test_a_changed_input_is_told_even_when_the_answer_is_right(change):
    def changes(x, scale):
        output = right(x, scale)
        change(x)
        return output

    assert "It changed its input 'x'." in repr(verdict(changes))


def test_returning_the_input_changed_is_told():
    assert "It changed its input 'x'." in repr(verdict(lambda x, scale: x.add_(1)))


def test_prints_and_warnings_have_no_part_in_the_verdict(capfd):
    def talks(x, scale):
        print("hello")
        print("hello", file=sys.stderr)
        warnings.warn("careful", stacklevel=1)
        return right(x, scale)

    with pytest.warns(UserWarning, match="careful"):
        warnings.simplefilter("error")  # as a notebook may have it
        assert verdict(talks).passed


def test_a_changed_default_dtype_does_not_change_what_is_expected():
    def careless(x, scale):
        torch.set_default_dtype(torch.float64)
        return right(x, scale)

    try:
        assert verdict(careless).passed
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(
    "same",
    [
        lambda t: t.numpy(),
        lambda t: t.double(),
        lambda t: t.clone().requires_grad_(),
        lambda t: torch.nn.Parameter(t),
        lambda t: t.transpose(2, 3).contiguous().transpose(2, 3),
        lambda t: t.numpy().astype(t.numpy().dtype.newbyteorder(">")),
        lambda t: t.numpy()[..., ::-1].copy()[..., ::-1],
    ],
    ids=["numpy", "float64", "requires grad", "parameter", "not contiguous", "big-endian", "negative strides"],
)
def test_the_right_numbers_are_accepted_in_any_plain_form(same):
    assert verdict(lambda x, scale: same(right(x, scale))).passed


def test_objects_that_equal_everything_are_refused():
    class AlwaysEqual:
        def __eq__(self, other):
            return True

        def __getattr__(self, name):
            return self

        def __call__(self, *args, **kwargs):
            return self

    class EqualTensor(torch.Tensor):
        """A tensor but for comparisons, all of which are true."""

        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            result = super().__torch_function__(func, types, args, kwargs or {})
            return torch.ones_like(result) if func.__name__.strip("_") in ("eq", "le", "lt", "ge", "gt") else result

    class EqualArray(np.ndarray):
        def __eq__(self, other):
            return np.ones(self.shape, bool)

    class EqualTuple(tuple):
        def __eq__(self, other):
            return True

        def __iter__(self):
            return iter(())

    answers = [AlwaysEqual(), EqualTuple([1, 2])]
    assert not any(verdict(lambda x, scale, answer=answer: answer).passed for answer in answers)
    tensor, array = (lambda x, scale: torch.zeros_like(right(x, scale)).as_subclass(EqualTensor), lambda x, scale: right(x, scale).numpy())
    assert "It returned an object of type EqualTensor, a tensor class of its own" in repr(verdict(tensor))
    assert "It returned an object of type EqualArray" in repr(verdict(lambda x, scale: array(x, scale).view(EqualArray)))


def test_nan_equals_only_nan():
    from course.exercises.comparing import compare

    nan, one = {"result": torch.tensor([float("nan"), 1.0])}, {"result": torch.tensor([1.0, 1.0])}
    assert compare(nan, nan, 0.0) is None
    assert compare(nan, one, 1e9).index == (0,)
    assert compare(one, nan, 1e9).index == (0,)
    infinite = {"result": torch.tensor([float("inf"), 1.0])}
    assert compare(infinite, infinite, 0.0) is None
    assert compare(infinite, {"result": -infinite["result"]}, 1e9).index == (0,)
    assert compare(infinite, one, 1e9).index == (0,)


def test_the_tolerance_is_relative_above_one_and_absolute_below():
    from course.exercises.comparing import compare

    def differ(expected, got):
        return compare({"result": torch.tensor(expected)}, {"result": torch.tensor(got)}, 1e-3) is not None

    assert not differ([1000.0], [1000.9]) and differ([1000.0], [1001.1])
    assert not differ([0.0], [0.0009]) and differ([0.0], [0.0011])
    assert differ([1000], [1001])


def test_values_that_round_to_the_same_words_are_told_apart():
    from course.exercises.comparing import compare

    assert "expected 1.23001, got 1.23002" in compare(plain_arrays([1.23001]), plain_arrays([1.23002]), 1e-9).sentence


@pytest.mark.parametrize(
    ("expected", "got", "said"),
    [
        (14, 14.0, "It returned a float, 14.0; expected an int, 14: use // for whole division."),
        (14, 10.0, "It returned a float, 10.0; expected an int, 14: use // for whole division. The value is wrong too."),
        (14, 14.5, "It returned a float, 14.5; expected an int, 14: use // for whole division. The value is wrong too."),
        (-3, 10 / 3, "It returned a float, 3.33333333; expected an int, -3: use // for whole division. The value is wrong too."),
        (14, float("nan"), "It returned a float, nan; expected an int, 14: use // for whole division. The value is wrong too."),
        (14, np.float32(14), "It returned a float, 14.0; expected an int, 14: use // for whole division."),
        (0.5, 1, "It returned an int, 1; expected a float, 0.5. The value is wrong too."),
        (1.0, 1, "It returned an int, 1; expected a float, 1.0."),
        (1, True, "It returned a bool, True; expected an int, 1."),
        (True, 0.0, "It returned a float, 0.0; expected a bool, True."),
        (torch.zeros(2, dtype=torch.int64), torch.zeros(2), "The dtype is float32; expected int64."),
        (
            torch.zeros(0, dtype=torch.int64),
            torch.tensor([]),
            "The dtype is float32; expected int64: an empty tensor is a float one unless you say torch.tensor(rows, dtype=torch.int64).",
        ),
    ],
)
def test_a_number_or_tensor_of_another_type_is_told_in_the_words_of_the_student(expected, got, said):
    from course.exercises.comparing import compare

    assert compare(plain_arrays(expected), plain_arrays(got), 1e-5).sentence == said


@pytest.mark.parametrize(
    ("result", "parts"),
    [
        ((3, 4), {"result": torch.tensor([3, 4])}),
        (torch.Size([3, 4]), {"result": torch.tensor([3, 4])}),
        ([0.5, 1], {"result": torch.tensor([0.5, 1.0], dtype=torch.float64)}),
        (True, {"result": torch.tensor(True)}),
        ((torch.ones(1), 2), {"result[0]": torch.ones(1), "result[1]": torch.tensor(2)}),
        ({"loss": 0.25}, {"result['loss']": torch.tensor(0.25, dtype=torch.float64)}),
        (np.float32(2), {"result": torch.tensor(2.0)}),
    ],
)
def test_results_become_plain_arrays(result, parts):
    arrays = plain_arrays(result)
    assert list(arrays) == list(parts)
    for name, array in arrays.items():
        torch.testing.assert_close(array, parts[name], rtol=0, atol=0)


def test_an_unknown_name_is_answered_with_the_names_there_are():
    def max_unpol(x):
        return x

    with pytest.raises(
        ValueError, match=r"no exercise is called 'max_unpol' \(did you mean max_unpool\?\); the exercises are .*bed_of_nails"
    ):
        check(max_unpol)
    with pytest.raises(ValueError, match="no exercise is called 'zzz'; the exercises are"):
        check(named(lambda x: x, "zzz"))


@pytest.mark.parametrize(
    ("thing", "said"),
    [
        (lambda x: x, "a lambda has none"),
        (torch.ones(2), "without brackets.*got an object of type Tensor"),
        ("max_unpool", "got an object of type str"),
        (None, "got an object of type NoneType"),
    ],
)
def test_what_is_not_a_function_with_a_name_is_refused(thing, said):
    with pytest.raises(TypeError, match=said):
        check(thing)


def test_devices(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ValueError, match="device='cuda' was asked for, and torch finds none"):
        verdict(right, device="cuda")
    with pytest.raises(ValueError, match="device='tpu' is not known; accepted are"):
        verdict(right, device="tpu")
    assert verdict(right, device="auto").devices == ("cpu",)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    from course.exercises.checking import _devices

    assert _devices("auto") == ("cpu", "cuda")
    assert _devices("cuda:0") == ("cpu", "cuda:0")


@pytest.mark.gpu
def test_a_result_left_on_the_cpu_is_told_and_a_device_failure_says_where():
    result = verdict(lambda x, scale: right(x.cpu(), scale), device="cuda")
    assert "case 1 of 8 is not right on cuda" in repr(result)
    assert "make new tensors with device=x.device" in repr(result)


def test_a_script_prints_the_result_once():
    script = "from course import check\ndef max_unpool(x):\n    pass\ncheck(max_unpool)\n"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, encoding="utf-8", env=_environment())
    assert run.stderr == ""
    assert run.stdout.count("✗ max_unpool: case 1 of 10 is not right") == 1


def _environment():
    import os

    return {**os.environ, "PYTHONIOENCODING": "utf-8"}


def test_later_cases_are_run_to_tell_mistakes_apart_but_what_they_print_is_not_shown(capsys):
    from course.exercises.lessons import all_exercises

    exercise = all_exercises()["choose_upsampling"]
    mistake = {mistake.name: mistake for mistake in exercise.common_mistakes}["most first"]

    def choose_upsampling(size, output_size, candidates):
        print("called")
        return mistake.function(size, output_size, candidates)

    for seed in range(8):
        result = check(choose_upsampling, seed=seed)
        assert result.failure.mistake is mistake
        assert capsys.readouterr().out.count("called") == result.failure.place + 1


def test_a_mistake_is_named_only_when_every_answer_so_far_is_its_own():
    def neither(x, scale):
        output = right(x, scale)
        output[..., -1, -1] = 99
        return output

    assert verdict(neither).failure.mistake is None


def test_a_mistake_is_not_named_when_it_would_have_failed_an_earlier_case():
    def filled_when_not_square(x, scale):
        return right(x, scale) if x.shape[2] == x.shape[3] else x.repeat_interleave(scale, 2).repeat_interleave(scale, 3)

    result = verdict(filled_when_not_square)
    assert "case 2 of 8" in repr(result)
    assert result.failure.mistake is None


def test_an_error_is_named_only_after_right_answers_and_with_the_words_that_the_mistake_raises():
    from course.exercises.lessons import all_exercises
    from course.ops.unpooling import max_unpool as solution

    (twice,) = (mistake for mistake in all_exercises()["max_unpool"].common_mistakes if mistake.error)

    def failing(place, error):
        """Right up to the case at this place, where it raises."""
        calls = iter(range(99))

        def max_unpool(x, indices, kernel_size, stride=None, padding=0, output_size=None):
            if next(calls) == place:
                raise error
            return solution(x, indices, kernel_size, stride, padding, output_size)

        return check(max_unpool, seed=seed).failure.mistake

    seed = next(seed for seed in range(99) if check(named(twice.function, "max_unpool"), seed=seed).failure.outcome.kind == "raised")
    assert failing(3, IndexError("index 17 is out of bounds for dimension 0 with size 16")) is twice
    assert failing(3, IndexError("list index out of range")) is twice
    assert failing(3, ValueError("too many values to unpack")) is None
    assert failing(0, IndexError("index 17 is out of bounds for dimension 0 with size 16")) is None


def test_an_error_is_not_named_when_the_mistake_does_not_say_what_it_raises():
    from dataclasses import replace

    from course.exercises.checking import examine
    from course.exercises.exercise import Mistake
    from course.exercises.lessons import all_exercises

    def raising(x, scale):
        raise IndexError("out of bounds")

    for error, is_named in (("", False), ("out of", True)):
        mistake = Mistake("raises", raising, "This is what happens when it raises.", error)
        result = examine(replace(all_exercises()["bed_of_nails"], common_mistakes=(mistake,)), raising)
        assert (result.failure.mistake is mistake) == is_named
