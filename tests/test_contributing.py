"""The recipe in CONTRIBUTING is code: it is run here as it stands there."""

import re
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent


def test_the_animation_recipe_runs_and_its_last_state_is_right():
    recipe = re.search(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.DOTALL)[1]
    namespace = {}
    exec(recipe, namespace)
    row = np.array([[3, 1, 4, 1, 5]])
    player = namespace["running_sum"](row)
    np.testing.assert_array_equal(player.trace.values_at("sums", -1), np.cumsum(row, axis=1))
    assert np.isnan(player.trace.values_at("sums", 0)).all()
    assert player.trace.steps[1].text == "Add 3 and write 3."


def test_it_fits_on_a_page():
    assert len((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").splitlines()) <= 90
