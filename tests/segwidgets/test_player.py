"""What a notebook gets from a widget: a view, a moving still, and one line of text that is the same on every machine."""

import base64
import io

import pytest
import torch
from PIL import Image

import segwidgets
from segwidgets import Player

VIEW = "application/vnd.jupyter.widget-view+json"


def test_the_output_holds_a_view_a_moving_still_and_a_line_of_text(x):
    player = segwidgets.pool(x)
    data, metadata = player._repr_mimebundle_()
    assert set(data) == {VIEW, "image/png", "text/plain"}
    assert data[VIEW]["model_id"] == player.model_id
    still = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    assert still.is_animated and still.n_frames == 1 + 6  # the first is for paper
    width, height = metadata["image/png"]["width"], metadata["image/png"]["height"]
    assert width <= 860 and width / height == pytest.approx(still.width / still.height, rel=0.02)


def test_the_text_is_the_same_for_the_same_animation_and_holds_its_digest(x):
    one, other = segwidgets.pool(x), segwidgets.pool(x.clone())
    text = one._repr_mimebundle_()[0]["text/plain"]
    assert text == other._repr_mimebundle_()[0]["text/plain"] == repr(one)
    assert text == f"max pooling, window 2×2, stride 2×2 · input → pooled · 5 steps · digest {one.trace.digest}"
    assert "0x" not in text and "\n" not in text
    assert text != repr(segwidgets.pool(x + 1))


def test_the_still_is_the_same_for_the_same_animation(x):
    stills = {segwidgets.pool(x.clone())._repr_mimebundle_()[0]["image/png"] for _ in range(2)}
    assert len(stills) == 1


def test_the_older_hook_is_off_so_that_colab_too_takes_the_bundle(x):
    assert segwidgets.pool(x)._ipython_display_ is None


def test_ipython_takes_the_bundle(x):
    from IPython.core.formatters import DisplayFormatter

    data, _ = DisplayFormatter().format(segwidgets.pool(x))
    assert set(data) == {VIEW, "image/png", "text/plain"}


def test_only_a_trace_is_played(x):
    trace = segwidgets.pool(x).trace
    with pytest.raises(TypeError, match="Player takes a trace and nothing else, got autoplay, speed"):
        Player(trace, speed=2, autoplay=True)
    with pytest.raises(TypeError, match="Player plays a Trace, got Tensor"):
        Player(x)


def test_buffers_travel_as_bytes_and_the_limit_holds(x, cat):
    image, features, field = cat
    for player in (segwidgets.pool(x), segwidgets.pool(features, channel=18, image=image, field=field)):
        state = player.get_state()["_trace"]
        assert all(isinstance(buffer, bytes) for buffer in state["buffers"])
        assert player.trace.nbytes < 1_000_000


def test_show_replaces_what_is_played(x):
    player, other = segwidgets.pool(x), segwidgets.pool(x + 1)
    before = player.get_state()["_trace"]
    player.show(other.trace)
    assert player.trace is other.trace and repr(player) == repr(other)
    assert player.get_state()["_trace"] != before
    assert player._repr_mimebundle_()[0]["image/png"] == other._repr_mimebundle_()[0]["image/png"]  # the still is the newest
    with pytest.raises(TypeError, match="Player plays a Trace, got list"):
        player.show([])


def test_importing_and_showing_leave_torch_s_settings_alone(x):
    before = torch.get_default_dtype(), torch.random.get_rng_state()
    repr(segwidgets.pool(x))
    assert torch.get_default_dtype() == before[0] and torch.equal(torch.random.get_rng_state(), before[1])
