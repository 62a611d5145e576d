"""Run a notebook's cells in a Jupyter kernel of its own, with a progress bar by cell."""

import os
import re
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from course.errors import CourseError
from course.progress import watched

ANSI = re.compile(r"\x1b\[[0-9;]*m")
TRACEBACK_LINES = 25


def execute(notebook: nbformat.NotebookNode, folder: Path, name: str, timeout: int = 600, go_on: bool = False) -> None:
    """Fill in the outputs, in place. The kernel works in `folder`, and is gone afterwards whatever happens.

    Args:
        name: What the progress bar and error sentences call the notebook.
        timeout: Seconds that one cell may take.
        go_on: Whether the cells after a failing one run too; its error is then an output like any other.

    Raises:
        CourseError: When a cell fails or takes too long, or the kernel dies.
    """
    from tqdm.auto import tqdm

    client = NotebookClient(
        notebook,
        timeout=timeout,
        kernel_name="python3",
        allow_errors=go_on,
        store_widget_state=False,  # saved state hides the stills in nbconvert's HTML
        record_timing=False,
        extra_arguments=["--log-level=ERROR"],  # ipykernel's warnings about itself are not the author's
        coalesce_streams=True,  # how a stream is cut into messages differs from run to run
        resources={"metadata": {"path": str(folder)}},
    )
    numbers = [index for index, cell in enumerate(notebook.cells) if cell.cell_type == "code" and cell.source.strip()]
    # Cell by cell and not with client.execute(): that one takes the interrupt signal away from Ctrl-C.
    with client.setup_kernel(
        env=os.environ | {"PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    ):  # else the debugger warns of Python's frozen modules
        bar = tqdm(numbers, desc=name, unit="cell", disable=not watched())
        for count, index in enumerate(bar, start=1):
            _execute_cell(client, notebook.cells[index], index, count, name)


def _execute_cell(client: NotebookClient, cell: nbformat.NotebookNode, index: int, count: int, name: str) -> None:
    where = f"{name}, cell {index + 1} ({cell.source.strip().splitlines()[0][:60]!r})"
    try:
        client.execute_cell(cell, index, execution_count=count)
    except CellExecutionError as error:
        told = ANSI.sub("", "\n".join(_traceback(cell))).splitlines()[-TRACEBACK_LINES:]
        sentence = f"{where}: {error.ename}: {ANSI.sub('', error.evalue)}"
        raise CourseError("\n".join([sentence, *(f"    {line}" for line in told)])) from None
    except CellTimeoutError:
        raise CourseError(f"{where} took longer than the {client.timeout} seconds that a cell may take.") from None
    except DeadKernelError:
        raise CourseError(f"{where}: the kernel died, as it does when memory runs out.") from None


def _traceback(cell: nbformat.NotebookNode) -> list[str]:
    return next((output.traceback for output in cell.outputs if output.output_type == "error"), [])
