"""Right answers in every shape that students give them score full."""

import io
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import course
from course.grading.file_names import file_name
from tests.course.grading.a_class import SECRET, notebook, solution

ROOT = Path(course.__file__).parents[1]
RIGHT = solution("bed_of_nails")
HEIGHT_AND_WIDTH = "height, width = (scale, scale) if isinstance(scale, int) else scale"
FUNCTION = f"def bed_of_nails(x, scale):\n    {HEIGHT_AND_WIDTH}\n"
NAILS = """
    output = x.new_zeros(*x.shape[:2], x.shape[2] * height, x.shape[3] * width)
    output[:, :, ::height, ::width] = x
"""
IN_A_CLASS = NAILS.replace("    ", "        ")


def right(before: str = "", after: str = "", result: str = "output") -> str:
    """The function, with code before and after the work."""
    return f"{FUNCTION}    {before or 'pass'}\n{NAILS}\n    {after or 'pass'}\n    return {result}\n"


ANSWERS = {
    "as the course has it": ["import torch", RIGHT],
    "warns": ["import warnings", right("warnings.warn('careful'); warnings.warn('old', DeprecationWarning)")],
    "warns, and made errors of warnings": ["import warnings\nwarnings.simplefilter('error')", right("warnings.warn('careful')")],
    "prints": ["import sys", right("print(x, scale); print('\\x00\\udc80ü', file=sys.stderr); print('x' * 100_000)")],
    "logs": ["import logging\nlogging.basicConfig(level=logging.DEBUG)", right("logging.error(x)")],
    "shows progress": ["from tqdm.auto import tqdm, trange", right("for _ in tqdm(range(3)): pass")],
    "numpy": [
        "import numpy as np",
        f"{FUNCTION}    x = x.numpy()\n    block = np.zeros((height, width), x.dtype)\n    block[0, 0] = 1\n    return np.kron(x, block)",
    ],
    "numpy, the other byte order": ["import numpy as np", right(result="output.numpy().astype(output.numpy().dtype.newbyteorder('>'))")],
    "float64": [right(result="output.double()")],
    "a parameter": ["import torch", right(result="torch.nn.Parameter(output)")],
    "needs a gradient": [right(result="output.requires_grad_()")],
    "not contiguous": [right(result="output.transpose(2, 3).contiguous().transpose(2, 3)")],
    "a view of something larger": ["import torch", right(result="torch.cat([output, output], 3)[..., : output.shape[3]]")],
    "channels last": ["import torch", right(result="output.contiguous(memory_format=torch.channels_last)")],
    "expanded": [right(result="output[None].expand(2, *output.shape)[1]")],
    "in inference mode": ["import torch", "@torch.inference_mode()\n" + right()],
    "without gradients": ["import torch", "@torch.no_grad()\n" + right()],
    "helpers in other cells": [
        f"def pair(scale):\n    {HEIGHT_AND_WIDTH}\n    return height, width",
        "SPACE = 1",
        "def bed_of_nails(x, scale):\n    height, width = pair(scale)\n" + NAILS + "    return output[..., :: SPACE]",
    ],
    "helpers below": [
        "def bed_of_nails(x, scale):\n    height, width = pair(scale)\n" + NAILS + "    return output",
        f"def pair(scale):\n    {HEIGHT_AND_WIDTH}\n    return height, width",
    ],
    "reordered, and each cell needs one below": [
        "bed_of_nails = make(pair)",
        "def make(pair):\n    def bed_of_nails(x, scale):\n        height, width = pair(scale)\n"
        + IN_A_CLASS
        + "        return output\n    return bed_of_nails",
        "pair = as_pair",
        f"def as_pair(scale):\n    {HEIGHT_AND_WIDTH}\n    return height, width",
    ],
    "a cached helper": [
        f"from functools import lru_cache\n@lru_cache\ndef pair(scale):\n    {HEIGHT_AND_WIDTH}\n    return height, width",
        "def bed_of_nails(x, scale):\n    height, width = pair(scale)\n" + NAILS + "    return output",
    ],
    "a class": [
        "class Nails:\n    def __init__(self, scale):\n        self.scale = scale\n    def __call__(self, x):\n        scale = self.scale\n"
        f"        {HEIGHT_AND_WIDTH}{IN_A_CLASS}        return output",
        "def bed_of_nails(x, scale):\n    return Nails(scale)(x)",
    ],
    "a dataclass": [
        "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass Pair:\n    height: int\n    width: int",
        f"{FUNCTION}    pair = Pair(height, width)\n    height, width = pair.height, pair.width\n{NAILS}\n    return output",
    ],
    "a callable object": [
        f"class Nails:\n    def __call__(self, x, scale):\n        {HEIGHT_AND_WIDTH}{IN_A_CLASS}        return output",
        "bed_of_nails = Nails()",
    ],
    "a module": [
        "import torch\nclass Nails(torch.nn.Module):\n    def forward(self, x, scale):\n"
        f"        {HEIGHT_AND_WIDTH}{IN_A_CLASS}        return output",
        "nails = Nails()\ndef bed_of_nails(x, scale):\n    return nails(x, scale)",
    ],
    "type hints that are not there": [
        "from __future__ import annotations",
        right().replace("(x, scale)", "(x: Tensor, scale: Scale) -> Tensor"),
    ],
    "more arguments with defaults": [right().replace("(x, scale)", "(x, scale=2, mode='nails', **more)")],
    "slow": ["import time", right("time.sleep(0.25)")],
    "slow to import": ["import time\ntime.sleep(2)", right()],
    "threads": [
        "from concurrent.futures import ThreadPoolExecutor",
        right().replace("bed_of_nails", "one"),
        "def bed_of_nails(x, scale):\n    with ThreadPoolExecutor(4) as pool:\n        return pool.submit(one, x, scale).result()",
    ],
    "another process": [
        "import subprocess, sys",
        right("subprocess.run([sys.executable, '-SEI', '-c', 'pass'], check=True)"),
    ],
    "a file of its own": [right("open('notes.txt', 'w').write(str(x))")],
    "plots": ["import matplotlib.pyplot as plt", right("plt.imshow(x[0, 0]); plt.show(); plt.close()"), "plt.plot([1, 2]); plt.show()"],
    "draws and seeds": ["import torch, random\ntorch.manual_seed(3)\nrandom.seed(3)", right("torch.rand(3)")],
    "another default dtype": ["import torch\ntorch.set_default_dtype(torch.float64)\ntorch.set_num_threads(2)", right()],
    "timed": ["%%time\nimport torch", "%%time\n" + right(), "%timeit -n 1 1 + 1"],
    "magics": ["%matplotlib inline\n%load_ext autoreload\n%autoreload 2", "%%capture\nimport torch", right(), "%pip list", "?print"],
    "shell lines": ["!pip install -q segcourse\n!nvidia-smi\nimport torch", "files = !ls\n!cd x && make", right()],
    "another language": ["%%bash\nrm -rf /\n", "%%html\n<b>hello</b>", right()],
    "Colab": [
        "from google.colab import drive, files\ndrive.mount('/content/drive')\nfiles.upload()",
        "import os\nos.chdir('/content/drive/MyDrive')",
        right(),
        "files.download('fcn.safetensors')",
    ],
    "its own checks": [
        "from course import check\nimport torch",
        RIGHT,
        "result = check(bed_of_nails)\nassert result.passed\ncheck(bed_of_nails, device='cuda')",
    ],
    "asks the reader": ["name = input('your name? ')", right(), "input()"],
    "a cell that is no Python": ["this is a note, not code", right(), "def unfinished(:\n    return"],
    "a broken piece beside it": ["import torch\nx = = 3\n" + right() + "\nfor broken in\n"],
    "a cell that fails": ["1 / 0", right(), "raise SystemExit", "import no_such_module", "assert False"],
    "an unrelated cell that ends the process": ["import os", "os._exit(0)", right(), "os._exit(1)", "import ctypes; ctypes.string_at(0)"],
    "an unrelated cell that never ends": [right(), "while True:\n    pass"],
    "an unrelated cell that takes too much": ["import torch", "big = torch.zeros(1 << 40)", "big = bytearray(1 << 40)", right()],
    "written twice, the last one right": [FUNCTION + "    return x", right()],
    "another function is wrong": [right(), "def max_unpool(x, indices, kernel_size):\n    raise ValueError", "max_unpool(1, 2, 3)"],
    "written to a file": ["%%writefile nails.py\n" + right(), "from nails import bed_of_nails"],
}  # fmt: skip
MORE = {
    "float64 of float64": ("conv_transpose", ["import torch", "import torch.nn.functional as F", """
def conv_transpose(x, weight, bias=None, stride=1, padding=0, output_padding=0):
    x, weight, bias = x.double(), weight.double(), None if bias is None else bias.double()
    return F.conv_transpose2d(x, weight, bias, stride, padding, output_padding)
"""]),
    "numbers of NumPy": ("conv_transpose_output_size", ["import numpy as np", """
def conv_transpose_output_size(size, kernel_size, stride=1, padding=0, output_padding=0):
    return np.int32((size - 1) * stride - 2 * padding + kernel_size + output_padding)
"""]),
    "a list": ("choose_upsampling", ["import torch", solution("choose_upsampling")]),
}  # fmt: skip
FILES = {}


def file(name: str):
    def keep(write):
        FILES[name] = write
        return write

    return keep


@file("nbformat 3.ipynb")
def of_nbformat_3(path):
    cells = [{"cell_type": "code", "input": [line + "\n" for line in right().split("\n")], "language": "python", "outputs": []}]
    path.write_text(json.dumps({"nbformat": 3, "nbformat_minor": 0, "worksheets": [{"cells": cells, "metadata": {}}]}))


@file("lost metadata.ipynb")
def without_metadata(path):
    path.write_text(json.dumps({"cells": [{"source": right()}], "metadata": None, "nbformat": "?"}))


@file("Kopie von Übung (1) final.FINAL.ipynb")
def renamed(path):
    path.write_text(notebook(right()), encoding="utf-8")


@file("with a byte order mark.ipynb")
def from_windows(path):
    path.write_text("\ufeff" + notebook(right().replace("\n", "\r\n")), encoding="utf-8")


@file("script.py")
def script(path):
    path.write_text("# %% [markdown]\n# my solution\n# %%\n" + right() + "\nif __name__ == '__main__':\n    print('tested')\n")


@file("packed.zip")
def packed(path):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("homework/work.ipynb", notebook(right()))
        archive.writestr("homework/.ipynb_checkpoints/work-checkpoint.ipynb.txt", "old")
        archive.writestr("__MACOSX/homework/._work.ipynb", "x")
    path.write_bytes(content.getvalue())


@file("a/folder/of its own/work.ipynb")
def in_folders(path):
    path.parent.mkdir(parents=True)
    path.write_text(notebook(right()))


def grade(folder: Path, *options: str) -> dict[str, dict]:
    """{submission: its record}"""
    command = [sys.executable, "-m", "course.cli", "grade", str(folder), "--seed", SECRET, "--out", str(folder.parent / "out")]
    done = subprocess.run([*command, "--lesson", "03", "--jobs", "2", *options], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    records = [json.loads(path.read_text()) for path in (folder.parent / "out" / "submissions").iterdir()]
    return {record["submission"]: record for record in records}


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("right") / "class"
    folder.mkdir()
    for name, cells in ANSWERS.items():
        (folder / f"{name}.ipynb").write_text(notebook(*cells), encoding="utf-8")
    for name, (_, cells) in MORE.items():
        (folder / f"{name}.ipynb").write_text(notebook(*cells))
    for name, write in FILES.items():
        write(folder / name)
    questions = ["bed_of_nails", *(question for question, _ in MORE.values())]
    return grade(folder, *(option for question in questions for option in ("--only", question)))


def check(record: dict, question: str) -> None:
    grade = next(grade for grade in record["grades"] if grade["question"] == question)
    assert (grade["status"], grade["points"]) == ("ok", grade["full"]), (grade["message"], grade["details"], record["remarks"])


@pytest.mark.parametrize("name", ANSWERS)
def test_a_right_answer_scores_full(records, name):
    check(records[name], "bed_of_nails")


@pytest.mark.parametrize("name", MORE)
def test_more_precision_and_other_numbers_score_full(records, name):
    check(records[name], MORE[name][0])


@pytest.mark.parametrize("name", FILES)
def test_every_kind_of_file_scores_full(records, name):
    check(records[re.sub(r"\.ipynb$", "", name)], "bed_of_nails")


def test_what_went_wrong_around_it_is_told(records):
    for name, told in {"a cell that fails": "ZeroDivisionError", "a cell that is no Python": "is left out"}.items():
        assert any(told in remark for remark in records[name]["remarks"]), records[name]["remarks"]
    assert records["as the course has it"]["remarks"] == []


@pytest.mark.gpu
@pytest.mark.parametrize("result", ["output", "output.to(x.device)", "torch.as_tensor(output.cpu(), device='cuda')"])
def test_tensors_on_a_gpu_score_full(tmp_path, result):
    folder = tmp_path / "class"
    folder.mkdir()
    (folder / "a.ipynb").write_text(notebook("import torch", right("assert x.is_cuda", result=result)))
    check(grade(folder, "--device", "cuda", "--only", "bed_of_nails")["a"], "bed_of_nails")


def test_the_names_of_records_are_the_submissions(records):
    """So that no answer above is one that was not graded."""
    assert len(records) == len(ANSWERS) + len(MORE) + len(FILES) and len({file_name(name) for name in records}) == len(records)
