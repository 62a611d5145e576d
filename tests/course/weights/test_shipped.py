"""The weights that come with the course: every file is accounted for, and does what the manifest says of it."""

import pytest

from course.cli import _parser
from course.recipes import find_recipe
from course.weights import FOLDER, MANIFEST, load_weights, read_manifest

SHIPPED = read_manifest(FOLDER)
every_entry = pytest.mark.parametrize("name", SHIPPED)
LARGEST = 20e6  # bytes: the wheel carries all of them


def options_of(name):
    return _parser().parse_args(SHIPPED[name].command.split()[1:])


def test_every_file_is_in_the_manifest_and_the_other_way_round():
    found = {path.name for path in FOLDER.iterdir() if path.suffix not in (".py", "") and path.name != MANIFEST}
    assert found == {entry.file for entry in SHIPPED.values()}


@every_entry
def test_its_name_and_command_are_those_of_a_recipe(name):
    options = options_of(name)
    recipe = find_recipe(options.name)
    assert options.command == "train" and options.data in recipe.DATA and options.seed == SHIPPED[name].seed
    assert name == (options.name if options.data == next(iter(recipe.DATA)) else f"{options.name}_{options.data}")
    plan = recipe.DATA[options.data]
    assert (plan.metric, plan.licence) == (SHIPPED[name].metric, SHIPPED[name].licence)


@every_entry
def test_it_is_whole_and_fits_its_recipes_model(name):
    options = options_of(name)
    weights = load_weights(name)
    find_recipe(options.name).build(options.data).load_state_dict(weights)
    assert SHIPPED[name].bytes == (FOLDER / SHIPPED[name].file).stat().st_size < LARGEST


@every_entry
def test_it_scores_what_the_manifest_says(name):
    options = options_of(name)
    recipe = find_recipe(options.name)
    model = recipe.build(options.data)
    model.load_state_dict(load_weights(name))
    assert abs(recipe.score(model, options.data, device="cpu") - SHIPPED[name].score) < 0.005
