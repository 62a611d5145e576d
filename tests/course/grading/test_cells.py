"""A notebook's cells become a namespace: what can run runs, and a cell that fails costs only what depends on it."""

import inspect
import linecache
import subprocess
import sys
import traceback
from types import ModuleType

import pytest

from course.exercises import solution_notebook
from course.exercises.exercise import TRAINING_CELL
from course.exercises.lessons import all_exercises
from course.grading.cells import first_line, needed, notebook_builtins, run, statements


@pytest.fixture
def play(monkeypatch):
    """Run cells as the grader does, and give what they defined and the last error of each statement, in their order."""

    def play(*cells, leave_out=frozenset()):
        found, _ = statements(cells)
        module = ModuleType("__main__")
        monkeypatch.setitem(sys.modules, "__main__", module)
        module.__dict__.update(notebook_builtins())
        errors = {}
        run(found, module.__dict__, leave_out=leave_out, ended=lambda index, seconds, error: errors.update({index: error}))
        return module.__dict__, [errors.get(index) for index in range(len(found))]

    return play


def sources(*cells):
    return [statement.source for statement in statements(cells)[0]]


def problems(*cells):
    return statements(cells)[1]


def kinds(errors):
    return [type(error).__name__ if error is not None else None for error in errors]


def one(source):
    [statement] = statements([source])[0]
    return statement


# Cells that are whole


def test_a_cell_becomes_its_statements_with_their_places():
    cells = [
        "import torch\n\n\n# a\nx = (1,\n     2); y = 'é'; z = 3  # b\n",
        "",
        "@one\n@two(\n    3,\n)\ndef f():\n    return 1\n\n    # end\n",
    ]
    found, wrong = statements(cells)
    assert [(each.cell, each.line, each.source) for each in found] == [
        (0, 1, "import torch"),
        (0, 5, "x = (1,\n     2)"),
        (0, 6, "y = 'é'"),
        (0, 6, "z = 3"),
        (2, 1, "@one\n@two(\n    3,\n)\ndef f():\n    return 1"),
    ]
    assert wrong == []


@pytest.mark.parametrize(
    "source, binds",
    [
        ("def f(a): b = 1", {"f"}),
        ("async def f(): pass", {"f"}),
        ("class C:\n    inner = 1", {"C"}),
        ("a, (b, *c) = d = 1, (2, 3)", {"a", "b", "c", "d"}),
        ("a: int = 1", {"a"}),
        ("a += 1", {"a"}),
        ("import a.b, c.d as e", {"a", "e"}),
        ("from a import b as c, d", {"c", "d"}),
        ("for a in b:\n    c = a", {"a", "c"}),
        ("with a as (b, c): pass", {"b", "c"}),
        ("while (a := f()): pass", {"a"}),
        ("try: import a\nexcept E as e: a = None", {"a", "e"}),
        ("if a:\n    def f(): pass", {"f"}),
        ("[(b := a) for a in c]", {"b"}),
        ("match x:\n    case [a, *b]: pass", {"a", "b"}),
        ("def f():\n    global w\n    w = 1", {"f", "w"}),
        ("f = lambda a: a", {"f"}),
        ("x[0] = y.z = 1", set()),
    ],
)
def test_what_a_statement_binds(source, binds):
    assert one(source).binds == binds


@pytest.mark.parametrize(
    "source, reads",
    [
        ("def f(a, b=c) -> d:\n    e = a\n    def g(): return e + h\n    return g", {"c", "d", "h"}),
        ("def f():\n    return [a for a in b if a is c]", {"b", "c"}),
        ("@a\nclass B(c):\n    d = e\n    def f(self): return g.h", {"a", "c", "e", "g"}),
        ("f = lambda a: a + b", {"b"}),
        ("def f():\n    x = 1\n    del x\n    return lambda: y", {"y"}),
        ("def f(a):\n    return f'{a} {b}'", {"b"}),
        ("x.y[z] = w", {"x", "z", "w"}),
        ("a += 1", {"a"}),
        ("def f():\n    import a\n    return a.b", set()),
        ("x = 0x" + "f" * 5000 + " + y", {"x", "y"}),  # more is read than there is, but nothing less
    ],
)
def test_what_a_statement_reads(source, reads):
    assert one(source).reads - {"__name__"} == reads


@pytest.mark.parametrize(
    "source, changes",
    [
        ("a[0] = b.c[1].d = 1", {"a", "b"}),
        ("a.b += 1", {"a"}),
        ("del a['k']", {"a"}),
        ("a.eval().to(b)", {"a"}),
        ("for x in y:\n    a.append(x)", {"a"}),
        ("def f():\n    a.append(1)", set()),
        ("b = a.pop()", set()),
        ("f(a)", set()),
    ],
)
def test_what_a_statement_changes(source, changes):
    assert one(source).changes == changes


# Magics


@pytest.mark.parametrize(
    "cell, expected",
    [
        ("%matplotlib inline\n%load_ext tensorboard\nx = 1", {"x": 1}),
        ("!pip install -q torch\nx = 1", {"x": 1}),
        ("!pip install \\\n    torch \\\n    numpy\nx = 1", {"x": 1}),
        ("!pip install \\\ntorch\nx = 1", {"x": 1}),
        ("files = !ls -l\nx = 1", {"files": [], "x": 1}),
        ("x = 1\nx?\n?x\nx??", {"x": 1}),
        ("if True:\n    !ls\n    %cd /\n    x = 1", {"x": 1}),
        ("%time x = 1", {"x": 1}),
        ("x = %time 1", {"x": 1}),
        ("if True:\n    %time\n    x = 1", {"x": 1}),
        ("%%time\nx = 1", {"x": 1}),
        ("\n# mine\n%%capture out\n%%timeit -n 3\n%matplotlib inline\nx = 1", {"x": 1}),
        ("%%prun -l 5\nx = 1", {"x": 1}),
        ("# @title Setup\nx = 1\n%%time\ny = 2", {"x": 1, "y": 2}),
        (">>> def f():\n...     return 7\n>>> x = f()", {"x": 7}),
        ("    x = 1\n    y = 2", {"x": 1, "y": 2}),
        ("x = '''\n%time y = 1\n!ls\n'''", {"x": "\n%time y = 1\n!ls\n"}),
        ("!ls\nx = '''\n!ls\ny = 2\n'''", {"x": "\n!ls\ny = 2\n"}),
        ("x = 7 % 4 ; y = x != 2", {"x": 3, "y": True}),
        ("\ufeffx = 1\r\ny = 2\rz = 3", {"x": 1, "y": 2, "z": 3}),
        ("get_ipython().events.register('pre_run_cell', print)\ndisplay(1)\nx = str(get_ipython())[:1]", {"x": "<"}),
        ("import copy, inspect\nx = inspect.unwrap(copy.copy(get_ipython())).getoutput('ls')", {"x": []}),
    ],
)
def test_magics_never_stand_in_the_way(play, cell, expected):
    space, errors = play(cell)
    assert problems(cell) == [] and kinds(errors) == [None] * len(errors)
    assert {name: space[name] for name in expected} == expected


@pytest.mark.parametrize("language", ["bash", "html", "javascript", "script python3", "sh", "!", "latex", "python2"])
def test_other_languages_are_left_out_without_a_word(language):
    assert statements([f"%%{language}\nx = 1\nexit 3"]) == ([], [])


def test_cells_that_train_are_left_out():
    assert sources(f"\n{TRAINING_CELL}: an hour\nx = 1", "y = 1") == ["y = 1"]


def test_magics_leave_lines_where_they_are():
    cell = "\n\n%%time\n\n!pip install \\\n  torch\n%matplotlib inline\n\nx = 1\nif x:\n    !ls\n\ny = '''\na\n'''\nz = 2\n"
    lines = cell.split("\n")
    for statement in statements([cell])[0]:
        if not statement.source.startswith(("get_ipython", "if")):
            assert lines[statement.line - 1] == statement.source.split("\n")[0]
    assert [statement.line for statement in statements([cell])[0]] == [5, 7, 9, 10, 13, 16]


@pytest.mark.parametrize("cell", ["\n \n    x = 1\n    y = x / 0", "def f():\n    !ls \\\n      -l\n    return 1 / 0\nf()"])
def test_errors_in_cells_with_magics_have_their_line(play, cell):
    error = play(cell)[1][-1]
    assert traceback.extract_tb(error.__traceback__)[-1].lineno == 4


def test_a_written_file_can_be_imported(play, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")
    monkeypatch.delitem(sys.modules, "my_helpers", raising=False)
    cells = [
        "%%writefile my_helpers.py\nX = 'é\\n'\n",
        "%%writefile -a my_helpers.py\nY = 2",
        "from my_helpers import X, Y",
        "%%file 'a b.txt'\nhi",
    ]
    space, errors = play(*cells)
    monkeypatch.delitem(sys.modules, "my_helpers")
    assert errors == [None] * 4 and (space["X"], space["Y"]) == ("é\n", 2)
    assert (tmp_path / "my_helpers.py").read_text("utf-8") == "X = 'é\\n'\nY = 2\n"
    assert (tmp_path / "a b.txt").read_text() == "hi\n"


@pytest.mark.parametrize("name", ["a/../b", "/tmp/b", "..", ".", "", "a\\b", "a\0b", "~/b", "-a ../b"])
def test_files_are_written_here_only(name):
    found, [sentence] = statements([f"%%writefile {name}\nx = 1"])
    assert found == [] and "accepted is a plain file name" in sentence


# Cells that are broken


def test_a_broken_cell_keeps_every_piece_that_parses(play):
    cell = """import math
@decorated(
)
def broken(x:
    return x

@staticmethod
# between
def whole(x):
    '''Its description
starts at column 0,
def so = does this.
    '''
    return math.floor(x)

for n in (1, 2):
    pass
else:
    m = n
pairs = [
    1,
]
wrong here
  indented = 1
wrong again
%time t = 3
last = pairs
"""
    space, errors = play(cell)
    assert kinds(errors) == [None] * 6
    assert (
        space["whole"](1.5) == 1
        and space["whole"].__func__.__code__.co_firstlineno == 7
        and (space["m"], space["last"], space["t"]) == (2, [1], 3)
    )
    assert [sentence.partition(": ")[0] for sentence in problems(cell)] == ["A part of the cell 'import math' is left out"] * 2
    assert "SyntaxError" in problems(cell)[0] and "(line 4)" in problems(cell)[0]
    assert "(line 23)" in problems(cell)[1], "broken pieces that follow one another are one part"


def test_a_cell_of_prose_is_one_sentence():
    assert problems("My answer is\nthat it works, of course") == [
        "The cell 'My answer is' is left out: SyntaxError: invalid syntax (line 1)."
    ]
    assert statements([""]) == statements(["\n  \n"]) == statements(["# nothing"]) == ([], [])


def test_a_statement_that_parses_and_does_not_compile_costs_itself():
    assert sources("x = 1\n\nreturn x\ny = 2") == ["x = 1", "y = 2"]
    assert problems("x = 1\n\nreturn x\ny = 2") == [
        "A part of the cell 'x = 1' is left out: SyntaxError: 'return' outside function (line 3)."
    ]


HOSTILE = """
    "(" * 100_000,
    "[" * 150 + "]" * 150,
    "-" * 200_000 + "1",
    "x" + ".a" * 200_000,
    "1" + "+1" * 100_000,
    "".join(" " * depth + "if 1:\\n" for depth in range(200)),
    "x = '\\0'",
    "\\ud800 = 1",
    "x = '\\udfff'",
    "x" * 5_000_000 + " y",
    "x = 1" + "1" * 5_000_000,
    "f'{" * 1000,
    "lambda: " * 5000 + "1",
    "%ls \\ud800",
    "!" * 5000,
"""


def test_hostile_text_costs_itself_only():
    """In a process of its own: what goes wrong here could end it."""
    code = f"""
from course.grading.cells import statements
for place, hostile in enumerate([{HOSTILE}]):
    found, wrong = statements(["a = 1", hostile, hostile + "\\nb = 1", "c = 1"])
    assert {{"a", "c"}} <= {{name for statement in found for name in statement.binds}}, place
    assert all(len(sentence) < 500 and sentence.encode() for sentence in wrong), place
print("all", place + 1)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.stdout == "all 15\n" and done.returncode == 0, done.stderr[-2000:]


def test_a_five_megabyte_string_is_an_ordinary_one(play):
    space, errors = play("x = '" + "a" * 5_000_000 + "'")
    assert len(space["x"]) == 5_000_000 and errors == [None]


@pytest.mark.filterwarnings("error")
def test_the_students_escapes_warn_nobody(play):
    assert play(r"x = '\d'", "import warnings\nwarnings.simplefilter('error')", r"y = '\d'")[0]["y"] == r"\d"


# Running


def test_a_statement_that_fails_costs_only_what_depends_on_it(play):
    space, errors = play("x = 1\ny = x / 0\nz = x + 1", "w = y", "v = z")
    assert kinds(errors) == [None, "ZeroDivisionError", None, "NameError", None]
    assert (space["z"], space["v"]) == (2, 2) and "y" not in space


@pytest.mark.parametrize(
    "leave", ["raise SystemExit(3)", "exit()", "raise KeyboardInterrupt", "raise GeneratorExit", "class E(BaseException): pass\nraise E"]
)
def test_nothing_gets_out(play, leave, monkeypatch):
    monkeypatch.setattr("builtins.exit", lambda: sys.exit(), raising=False)
    space, errors = play(leave, "x = 1")
    assert space["x"] == 1 and errors[-2] is not None


def test_reordered_cells_find_one_another(play):
    space, errors = play("c = b + 1", "b = a + 1", "def f(): return g()\nr = f()", "a = 1", "def g(): return c", "never = nowhere")
    assert (space["c"], space["r"]) == (3, 3) and kinds(errors) == [None] * 6 + ["NameError"]


def test_the_last_version_counts_also_when_an_older_one_could_run_at_last(play):
    space, errors = play("@late\ndef f(): return 'old'", "def late(f): return f", "def f(): return 'new'")
    assert space["f"]() == "new" and kinds(errors) == ["NameError", None, None]


def test_trying_again_comes_to_an_end(play):
    tries = []
    space, errors = play(
        "import builtins", "builtins.tries = []", "x = 1\ntries.append(1)\nraise NameError('x', name='x')", "raise NameError('y')"
    )
    tries = sys.modules["builtins"].__dict__.pop("tries")
    assert kinds(errors) == [None, None, None, None, "NameError", "NameError"] and tries == [1]
    assert kinds(play("raise NameError('x', name=[])", "def f():\n    del a\n    a = 1\nf()")[1]) == [
        "NameError",
        None,
        "UnboundLocalError",
    ]


def test_what_is_left_out_is_not_run_and_the_callbacks_tell(play):
    found, _ = statements(["x = 1\ny = later", "later = 2", "z = 3"])
    told, space = [], {}
    run(found, space, leave_out=frozenset({3}), started=lambda index: told.append(index), ended=lambda *end: told.append(end))
    assert [entry if isinstance(entry, int) else (entry[0], type(entry[2]).__name__) for entry in told] == [
        *(0, (0, "NoneType"), 1, (1, "NameError"), 2, (2, "NoneType")),
        *(1, (1, "NoneType")),
    ]
    assert all(entry[1] >= 0 for entry in told if not isinstance(entry, int)) and "z" not in space


def test_tracebacks_and_getsource_find_the_lines(play):
    cell = "import functools\n\n%time\n@functools.cache\ndef f(x):\n    # a comment\n    return x / 0\na = 1; g = lambda: a"
    space, _ = play("pass", cell)
    with pytest.raises(ZeroDivisionError) as caught:
        space["f"](1)
    frame = traceback.extract_tb(caught.value.__traceback__)[-1]
    assert (frame.filename, frame.lineno, frame.line) == ("<cell 2>", 7, "return x / 0")
    assert inspect.getsource(space["f"].__wrapped__) == "@functools.cache\ndef f(x):\n    # a comment\n    return x / 0\n"
    linecache.checkcache()
    assert inspect.getsource(space["g"]) == "a = 1; g = lambda: a\n"


def test_future_annotations_hold_for_the_rest_and_not_before(play):
    early, late = "def f(x: Nowhere): return x", "def g(x: Nowhere): return x"
    space, errors = play(early, "from __future__ import annotations", late)
    assert kinds(errors) == ["NameError", None, None] and space["g"].__annotations__ == {"x": "Nowhere"}
    assert "Nowhere" in str(play("def h(x: Nowhere): return x")[1][0]), "the next notebook begins without"


def test_top_level_await(play):
    first = "import asyncio\nasync def f():\n    await asyncio.sleep(0)\n    return 3\nloop = await f() and asyncio.get_running_loop()"
    space, errors = play(
        first, "x = [await f() for _ in range(2)]\nsame = await f() and asyncio.get_running_loop() is loop\nawait f() / 0", "y = 1"
    )
    assert kinds(errors) == [None] * 5 + ["ZeroDivisionError", None]
    assert space["x"] == [3, 3] and space["same"] and space["y"] == 1


def test_functions_belong_to_main_and_classes_pickle(play):
    space, errors = play("import pickle\nclass C: pass\nc = pickle.loads(pickle.dumps(C()))\nmain = __name__ == '__main__'")
    assert errors == [None] * 4 and space["main"] and space["C"].__module__ == "__main__"


def test_every_solution_of_the_course_is_found(play):
    cells = [cell.source for cell in solution_notebook("03_unpooling").cells if cell.cell_type == "code"]
    cells = [cell for cell in cells if "check(" not in cell]
    space, errors = play(*cells)
    found = [name for name in all_exercises() if getattr(space.get(name), "__module__", None) == "__main__"]
    assert problems(*cells) == [] and len(found) == 5 and not [error for error in errors if error is not None]


# What is needed


NOTEBOOK = """import torch
from math import pi
slow = train()
table = [0] * 3
table[0] = scale
scale = helper_scale(2)
def helper_scale(x): return x * pi
def helper(x): return table[0] * x
def other(x): return slow
torch.manual_seed(0)
def f(x):
    def inner(): return helper(x)
    return inner()
table.append(9)
print(slow)
scale = 3
""".splitlines()


def test_what_a_function_needs():
    found, _ = statements(["\n".join(NOTEBOOK)])
    first_lines = {found[index].source.split("\n")[0] for index in needed(found, "f")}
    wanted = {line for line in NOTEBOOK if line.startswith(("import", "from", "table", "scale", "def helper", "def f"))}
    assert first_lines == wanted
    assert needed(found, "nowhere") == {0, 1}


def test_what_is_needed_is_enough(play):
    text = "\n".join(NOTEBOOK)
    found, _ = statements([text])
    space, _ = play(text, leave_out=frozenset(range(len(found))) - needed(found, "f"))
    assert space["f"](2) == 6  # table[0] is the scale of the last line, taken on the second try
    assert "slow" not in space and "other" not in space


def test_a_module_is_not_changed_by_its_functions():
    found, _ = statements(
        ["import time", "time.sleep(9)", "clock = time.Clock()", "clock.start()", "def f(): return time.time() + clock.now"]
    )
    assert needed(found, "f") == {0, 2, 3, 4}


def test_written_files_are_always_needed():
    found, _ = statements(["%%writefile h.py\nX = 1", "x = 2", "import h", "def f(): return h.X"])
    assert needed(found, "f") == {0, 2, 3}


# The first line


@pytest.mark.parametrize(
    "cell, line",
    [("# a\n\n  x = 1\ny", "x = 1"), ("# only\n# this", "# only"), ("", ""), (" \n\t", ""), ("a" * 99, "a" * 60), ("%%time\nx", "%%time")],
)
def test_the_first_line_names_a_cell(cell, line):
    assert first_line(cell) == line
