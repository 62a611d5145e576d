"""What is stripped from a notebook, what is kept, and how two are compared."""

import copy
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from course import notebooks
from course.notebooks import STILL, WIDGET_VIEW

VIEW = {"model_id": "0123456789abcdef", "version_major": 2, "version_minor": 0}


def display(**data):
    return new_output("display_data", data=data)


def one_cell(*outputs, source="1"):
    return new_notebook(cells=[new_code_cell(source, outputs=list(outputs))])


def test_a_still_stays_and_its_view_goes():
    notebook = one_cell(display(**{WIDGET_VIEW: VIEW, STILL: "aGk=", "text/plain": "Player(12 steps)"}))
    notebook.metadata["widgets"] = {"state": {}}
    notebooks.strip_widget_views(notebook)
    assert notebook.cells[0].outputs[0].data == {STILL: "aGk=", "text/plain": "Player(12 steps)"}
    assert "widgets" not in notebook.metadata


def test_a_view_without_a_still_stays_with_its_state():
    notebook = one_cell(display(**{WIDGET_VIEW: VIEW, "text/plain": "IntSlider()"}))
    notebook.metadata["widgets"] = {"state": {}}
    before = copy.deepcopy(notebook)
    notebooks.strip_widget_views(notebook)
    assert notebook == before


def test_the_hook_strips_the_model_that_jupyterlab_saves():
    content = one_cell(display(**{WIDGET_VIEW: VIEW, STILL: "aGk="}))
    notebooks.keep_stills(model={"type": "notebook", "content": content}, path="x.ipynb", contents_manager=None)
    assert WIDGET_VIEW not in content.cells[0].outputs[0].data


@pytest.mark.parametrize(
    "model",
    [
        None,
        {},
        {"type": "file", "content": "text"},
        {"type": "notebook", "content": None},
        {"type": "notebook", "content": {}},
        {"type": "notebook", "content": {"cells": [{"outputs": None}, {"outputs": [{"data": 3}]}]}},
        {"type": "notebook", "content": {"cells": 7}},
    ],
)
def test_the_hook_never_stops_a_save(model):
    notebooks.keep_stills(model=model, path="x.ipynb", contents_manager=None)


def test_the_hook_loads_no_torch_and_no_nbformat():
    ask = "import sys, course.notebooks; print([m for m in ('torch', 'numpy', 'nbformat', 'IPython') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_what_differs_from_run_to_run_goes():
    notebook = one_cell(new_output("stream", name="stdout", text="4\n"), new_output("stream", name="stderr", text="careful\n"))
    notebook.metadata["language_info"] = {"name": "python", "version": "3.11.7"}
    notebook.cells[0].metadata["execution"] = {"iopub.execute_input": "2026-01-01"}
    assert notebooks.strip_volatile(notebook) == ["cell 1 wrote to stderr: careful"]
    assert [output.name for output in notebook.cells[0].outputs] == ["stdout"]
    assert notebook.metadata["language_info"] == {"name": "python"}
    assert notebook.cells[0].metadata == {}


def test_cell_ids_follow_from_position_and_content():
    def ids(*sources):
        notebook = new_notebook(cells=[new_markdown_cell(source) for source in sources])
        notebooks.set_cell_ids(notebook)
        nbformat.validate(notebook)
        return [cell.id for cell in notebook.cells]

    assert ids("a", "a") == ids("a", "a")
    assert len(set(ids("a", "a"))) == 2
    assert ids("a", "b")[1] != ids("a", "c")[1]


def test_the_size_sentence_names_the_largest_outputs():
    notebook = one_cell(display(**{STILL: "x" * 1_500_000}), display(**{"text/html": "y" * 600_000}))
    sentence = notebooks.oversize(notebook, 2_100_000)
    assert "2,100 kB" in sentence and "2,000 kB" in sentence
    assert sentence.index("cell 1's image/png (1,500 kB)") < sentence.index("cell 1's text/html (600 kB)")
    assert notebooks.oversize(notebook, 2_000_000) is None


def changed(**changes):
    data = {STILL: "aGk=", "text/plain": "Player(12 steps)", "text/html": "<b>12</b>"} | changes
    return one_cell(display(**{kind: content for kind, content in data.items() if content is not None}))


@pytest.mark.parametrize("change", [{"text/plain": "Player(13 steps)"}, {"text/html": "<b>13</b>"}, {STILL: None}, {"text/plain": None}])
def test_a_changed_output_is_seen(change):
    assert notebooks.as_text(changed()) != notebooks.as_text(changed(**change))


def test_other_pixels_and_stored_line_lists_are_the_same_notebook():
    other = changed(**{STILL: "b3RoZXI=", "text/html": ["<b>", "12</b>"]})
    assert notebooks.as_text(changed()) == notebooks.as_text(other)


def test_streams_errors_sources_and_metadata_are_seen():
    def lines(source="1", text="4\n", tags=(), metadata=None):
        notebook = one_cell(new_output("stream", name="stdout", text=text), source=source)
        notebook.cells[0].metadata["tags"] = list(tags)
        notebook.metadata.update(metadata or {})
        return notebooks.as_text(notebook)

    assert lines() == lines()
    for changed_part in ({"source": "2"}, {"text": "5\n"}, {"tags": ["t"]}, {"metadata": {"a": 1}}):
        assert lines(**changed_part) != lines()


@pytest.mark.parametrize("source, tags", [("# NBVAL_IGNORE_OUTPUT\nf()", []), ("f()", ["nbval-ignore-output"])])
def test_outputs_that_nbval_ignores_are_not_compared(source, tags):
    def lines(text):
        notebook = one_cell(new_output("stream", name="stdout", text=text), source=source)
        notebook.cells[0].metadata["tags"] = tags
        return notebooks.as_text(notebook)

    assert lines("3.1 s") == lines("3.2 s")
