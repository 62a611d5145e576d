"""A notebook as data: what is stripped from it, its cell ids, its size, and the text by which two of them are compared.

`keep_stills` is JupyterLab's pre-save hook, so this module imports neither torch nor nbformat: notebooks are plain dictionaries here.
"""

import hashlib
import json
import re
from collections.abc import Iterator

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
STILL = "image/png"
SIZE_LIMIT = 2_000_000  # bytes
# nbval's own marks, as comments and as tags: the outputs of such a cell are not compared, here either.
IGNORED_OUTPUT = re.compile(r"^\s*#\s*(NBVAL_IGNORE_OUTPUT|PYTEST_VALIDATE_IGNORE_OUTPUT|NBVAL_SKIP)\s*$", re.MULTILINE)
IGNORED_TAGS = {"nbval-ignore-output", "nbval-skip"}


def keep_stills(model=None, **_):
    """Contents-manager hook `pre_save_hook`: a saved notebook keeps the moving still of each widget and drops the dead view.

    Without a kernel JupyterLab prefers the view, finds no model for it and shows an error where the picture could be. The hook
    never raises: whatever it meets, a student's save succeeds.
    """
    try:
        if model["type"] == "notebook" and model["content"]:
            strip_widget_views(model["content"])
    except Exception:  # noqa: BLE001 - a save that fails loses the student's work
        return


def strip_widget_views(notebook: dict) -> None:
    """Remove, in place, the widget view from each output that also holds a still; and the saved widget state when no view is left."""
    views_left = False
    for output in _all_outputs(notebook):
        data = output.get("data") or {}
        if STILL in data:
            data.pop(WIDGET_VIEW, None)
        views_left = views_left or WIDGET_VIEW in data
    if not views_left:
        notebook.get("metadata", {}).pop("widgets", None)  # state without a view is dead weight, and nbconvert shows it for the still


def strip_volatile(notebook: dict) -> list[str]:
    """Remove, in place, what differs from run to run or machine to machine: timings, the Python version, stderr.

    Returns:
        What was written to stderr, each with its cell's number, so that a warning is told and not lost.
    """
    said = []
    language = notebook["metadata"].get("language_info")
    if language is not None:
        notebook["metadata"]["language_info"] = {"name": language.get("name", "python")}
    for number, cell in enumerate(notebook["cells"], start=1):
        for key in ("execution", "collapsed", "ExecuteTime"):
            cell["metadata"].pop(key, None)
        if cell["cell_type"] != "code":
            continue
        kept = []
        for output in cell["outputs"]:
            if output["output_type"] == "stream" and output["name"] == "stderr":
                said.append(f"cell {number} wrote to stderr: {joined(output['text']).strip()}")
            else:
                kept.append(output)
        cell["outputs"] = kept
    return said


def set_cell_ids(notebook: dict) -> None:
    """Give each cell an id made from its position and content: the same source gives the same notebook."""
    for position, cell in enumerate(notebook["cells"]):
        content = f"{position}\n{cell['cell_type']}\n{joined(cell['source'])}"
        cell["id"] = hashlib.sha256(content.encode()).hexdigest()[:12]


def oversize(notebook: dict, size: int) -> str | None:
    """A sentence naming the three largest outputs when the notebook's `size` in bytes is above the limit, else None."""
    if size <= SIZE_LIMIT:
        return None
    weights = []
    for number, cell in enumerate(notebook["cells"], start=1):
        for output in cell.get("outputs", []):
            for kind, content in _contents(output):
                weights.append((len(content), f"cell {number}'s {kind}"))
    largest = ", ".join(f"{where} ({size_in_kb(weight)})" for weight, where in sorted(weights, reverse=True)[:3])
    return f"is {size_in_kb(size)} and may have {size_in_kb(SIZE_LIMIT)}; the largest outputs are {largest}."


def size_in_kb(size: int) -> str:
    return f"{size / 1000:,.0f} kB"


def as_text(notebook: dict, outputs: bool = True) -> list[str]:
    """The lines by which two notebooks are compared: metadata, cells and text outputs; of a picture, that it is there.

    Pixels differ between versions of the drawing library, and nbval doesn't compare them either.
    """
    lines = [f"metadata: {_plain_json(notebook['metadata'])}"]
    for number, cell in enumerate(notebook["cells"], start=1):
        lines += ["", f"[{number}] {cell['cell_type']} {_plain_json(cell['metadata'])}".rstrip()]
        lines += joined(cell["source"]).splitlines()
        lines += [f"attachment: {name}" for name in sorted(cell.get("attachments", {}))]
        if outputs and cell["cell_type"] == "code" and not _ignores_output(cell):
            for output in cell["outputs"]:
                lines += _output_lines(output)
    return lines


def joined(text: str | list[str]) -> str:
    """Notebook text is stored as one string or as its lines."""
    return text if isinstance(text, str) else "".join(text)


def _output_lines(output: dict) -> Iterator[str]:
    for kind, content in _contents(output):
        if kind.startswith("image/") or kind == WIDGET_VIEW:
            yield f"    {kind}: present"
        else:
            yield f"    {kind}:"
            yield from (f"    | {line}".rstrip() for line in content.splitlines())


def _contents(output: dict) -> list[tuple[str, str]]:
    kind = output["output_type"]
    if kind == "stream":
        return [(output["name"], joined(output["text"]))]
    if kind == "error":
        return [("error", f"{output['ename']}: {output['evalue']}")]
    data = output["data"]
    return [(name, data[name] if isinstance(data[name], str) else _as_string(data[name])) for name in sorted(data)]


def _as_string(content: object) -> str:
    if isinstance(content, list) and all(isinstance(line, str) for line in content):
        return joined(content)
    return _plain_json(content)


def _all_outputs(notebook: dict) -> Iterator[dict]:
    for cell in notebook.get("cells", []):
        yield from cell.get("outputs") or []


def _ignores_output(cell: dict) -> bool:
    return bool(IGNORED_OUTPUT.search(joined(cell["source"])) or IGNORED_TAGS & set(cell["metadata"].get("tags", [])))


def _plain_json(content: object) -> str:
    return json.dumps(content, sort_keys=True, ensure_ascii=False)
