"""What holds for every animation of lessons 00 to 02: small enough for a notebook, the same in two processes."""

import os
import subprocess
import sys

import pytest

from segwidgets.still import MAX_STILL_BYTES, animated_png

CALLS = {
    "pixel_loss": "pixel_loss(torch.arange(12.0).reshape(3, 2, 2) % 5, [[0, 1], [2, 255]], classes=('sky', 'cat', 'grass'))",
    "sliding_window": (
        "sliding_window(cat(), lambda p: p.mean((2, 3)), size=100, stride=20, index=0, name='red', "
        "convolutional=lambda x: torch.nn.functional.avg_pool2d(x, 100, 20)[0], operations=10**6)"
    ),
    "threshold": "threshold(photo('coins'))",
    "felzenszwalb": "felzenszwalb(cat())",
    "slic": "slic(photo('astronaut'))",
    "feature_ladder": "feature_ladder({s: torch.ones(3, 1, 1) * torch.eye(512 // s) for s in (32, 16, 8)}, photo('astronaut'))",
}
PREPARED = """
import torch
from course.data.photos import cat, photo
from segwidgets.feature_ladder import feature_ladder
from segwidgets.pixel_loss import pixel_loss
from segwidgets.regions import felzenszwalb, slic
from segwidgets.sliding_window import sliding_window
from segwidgets.threshold import threshold
"""


@pytest.fixture(scope="module")
def made():
    """Each animation's trace, made in this process."""
    names: dict = {}
    exec(PREPARED, names)
    return {name: eval(call, names).trace for name, call in CALLS.items()}


@pytest.mark.parametrize("name", CALLS)
def test_it_fits_into_a_notebook(made, name):
    assert made[name].nbytes <= 1_000_000
    png, (width, _) = animated_png(made[name])
    assert len(png) <= MAX_STILL_BYTES and width <= 860


@pytest.mark.parametrize("name", CALLS)
def test_every_caption_is_one_sentence_or_two_with_a_number(made, name):
    for step in made[name].steps:
        assert step.text[-1] in ".?" and len(step.text) < 240
        assert any(letter.isdigit() for letter in step.text)


def test_another_process_makes_the_same_animations(made):
    program = PREPARED + "".join(f"print(repr({call}))\n" for call in CALLS.values())
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert run.returncode == 0, run.stderr[-2000:]
    assert run.stdout.splitlines() == [repr(trace) for trace in made.values()]


def test_numbers_of_a_network_stay_out_of_the_digest():
    """They differ between machines in their last bits, and a saved notebook must not."""
    names: dict = {}
    exec(PREPARED, names)
    call = "sliding_window(cat(), lambda p: p.mean((2, 3)) + {}, size=100, stride=50, index=0)"
    one, other = (eval(call.format(shift), names).trace for shift in ("0", "torch.tensor([1e-3, 0, 0])"))
    assert one.steps[3].text != other.steps[3].text or one.steps[3].writes != other.steps[3].writes
    assert one.digest == other.digest
