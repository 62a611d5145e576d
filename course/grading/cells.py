"""From the code cells of a student's notebook to a namespace with the student's functions, statement by statement.

It runs inside the sandbox, and knows nothing of what is asked. A cell that fails costs only what depends on it: so a cell is taken apart
into its top-level statements, each is run for itself, and what cannot be parsed is left out piece by piece.

Differs from IPython: magics do nothing, but for those that run Python (`%%time`, `%%capture`, `%time`) and for `%%writefile`; a statement
after a failed one runs; a statement that came before what it needs is tried again.
"""

from __future__ import annotations
import __future__

import ast
import asyncio
import contextlib
import dis
import inspect
import linecache
import re
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter  # by name: a notebook may replace time.perf_counter
from types import CodeType

from course.exercises.exercise import TRAINING_CELL

CELL_MAGIC = re.compile(r"(?:[ \t]*(?:#.*)?\n)*[ \t]*%%(\S*)(.*)\n?")
OTHER_LANGUAGES = re.compile(
    r"!|bash|sh|shell|script|cmd|powershell|system|sx|html|HTML|svg|SVG|latex|markdown|mermaid|javascript|js|python[23]?|pypy|perl|ruby|R"
    r"|julia|octave|sql|bigquery|cython|cuda"
)
WRITERS = ("writefile", "file")
MOST_WRAPPERS = 10
# A line at column 0 that doesn't begin a statement: blank, a comment, a closing bracket, the rest of a prompt or of a compound statement.
CONTINUES = re.compile(r"\s|#|[)\]}]|\.\.\.|(?:else|elif|except|finally)\b|$")
MOST_JOINED = 200  # pieces that may turn out to be one text between triple quotes
MAY_HAVE_MAGIC = re.compile(r"\A[ \t\n]*(?:[ \t]|>>>|In \[)|[%!?]")
LONGEST_WITH_MAGIC = 200_000  # characters; IPython reads a text once for each magic in it, which takes minutes for a few megabytes
CONTINUED_MAGIC = re.compile(r"^([ \t]*[!%](?:.*\\\n)+.*)$", re.MULTILINE)
LINE_TIMED = re.compile(r"get_ipython\(\)\.run_line_magic\('time', (.+)\)$", re.MULTILINE)
LOADS = ("LOAD_NAME", "LOAD_GLOBAL", "LOAD_FROM_DICT_OR_GLOBALS")
FUTURES = sum({getattr(__future__, name).compiler_flag for name in __future__.all_feature_names} - {inspect.CO_NESTED})


@dataclass(frozen=True)
class Statement:
    """One top-level statement of a notebook.

    Attributes:
        cell: Which code cell, from 0.
        line: Its first line within the cell, from 1; a decorated function begins at its first decorator.
        source: Its text, magics already replaced by Python.
        binds: Names that it binds at top level, whatever way; with `global`, also from within its functions.
        reads: Global names that it loads anywhere inside, in the bodies of functions too. Builtins are among them.
        changes: Names whose objects it may change: `table[0] = 1`, `net.bias = None`, `net.eval()`.
        always: An import, or a file that one may import: everything may depend on it.
    """

    cell: int
    line: int
    source: str
    binds: frozenset[str] = frozenset()
    reads: frozenset[str] = frozenset()
    changes: frozenset[str] = frozenset()
    always: bool = False


def first_line(cell: str) -> str:
    """The first line of code, by which a student finds the cell: JupyterLab shows no cell numbers. Empty for an empty cell."""
    lines = [line.strip() for line in cell.splitlines() if line.strip()]
    return next((line for line in lines if not line.startswith("#")), lines[0] if lines else "")[:60]


def statements(cells: Sequence[str]) -> tuple[list[Statement], list[str]]:
    """The top-level statements of the cells, in their order, and a sentence for each cell or part of one that is left out as unreadable.

    Cells that train, and cells in other languages, are left out without a word. Any text is survived.
    """
    found, problems = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the student's escapes
        for index, cell in enumerate(cells):
            source = cell.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
            if not source.lstrip().startswith(TRAINING_CELL):
                kept, sentences = _read_cell(index, source)
                found += kept
                problems += sentences
    return found, problems


def _read_cell(index: int, source: str) -> tuple[list[Statement], list[str]]:
    name = first_line(source)
    for _ in range(MOST_WRAPPERS):
        magic = CELL_MAGIC.match(source)
        if magic is None:
            break
        if magic[1] in WRITERS:
            return _written_file(index, source, magic)
        if OTHER_LANGUAGES.fullmatch(magic[1]):
            return [], []
        source = "\n" * magic[0].count("\n") + source[magic.end() :]
    try:
        kept, errors = _statements_in(ast.parse(source), source, index, 0)
    except Exception:  # SyntaxError, ValueError, RecursionError, MemoryError: which of them depends on Python's version
        kept, errors = _read_pieces(index, source)
    whole = f"The cell {name!r} is left out" if not kept else f"A part of the cell {name!r} is left out"
    return kept, [f"{whole}: {error}." for error in errors]


def _written_file(index: int, source: str, magic: re.Match) -> tuple[list[Statement], list[str]]:
    """`%%writefile`, as a statement that writes the file."""
    words = magic[2].split()
    mode = "a" if words and words[0] in ("-a", "--append") else "w"
    name = " ".join(words[mode == "a" :]).strip("'\"")
    if not name.isprintable() or not name or name in (".", "..") or "/" in name or "\\" in name:
        whole = f"The cell {first_line(source)!r} is left out"
        return [], [f"{whole}: it writes to the file {name[:60]!r}; accepted is a plain file name, without folders."]
    body = source[magic.end() :].rstrip("\n") + "\n"
    text = f"with __import__('io').open({name!r}, {mode!r}, encoding='utf-8', errors='replace') as _file:\n    _file.write({body!r})\n"
    text += "__import__('importlib').invalidate_caches()"  # a file written in the last instant may not be seen otherwise
    line = magic[0].rstrip("\n").count("\n") + 1
    return [Statement(index, line, text, binds=frozenset({"_file"}), always=True)], []


def _read_pieces(index: int, source: str) -> tuple[list[Statement], list[str]]:
    """Of a cell that doesn't parse as it is: the statements of every piece that does, and what is wrong with the others."""
    pieces = _pieces(source)
    kept, errors = [], []
    at, broken = 0, False
    while at < len(pieces):
        offset = pieces[at][0] - 1
        try:
            tree, text, count = _parsed(pieces, at)
        except Exception as error:
            if not broken:  # one sentence for broken pieces that follow one another
                errors.append(_told(error, offset))
            at, broken = at + 1, True
            continue
        more, wrong = _statements_in(tree, text, index, offset)
        kept += more
        errors += wrong
        at, broken = at + count, False
    return kept, errors


def _pieces(source: str) -> list[tuple[int, str]]:
    """The text cut where a line begins a statement at column 0, each piece with the number of its first line. Decorators stay with their
    function."""
    starts: list[int] = []
    decorated = continued = False
    lines = source.split("\n")
    for place, line in enumerate(lines):
        begins = not continued and not CONTINUES.match(line)
        if (begins and not decorated) or not starts:
            starts.append(place)
        if begins:
            decorated = line.startswith("@")
        continued = line.endswith("\\")
    return [(start + 1, "\n".join(lines[start:end])) for start, end in zip(starts, [*starts[1:], len(lines)], strict=True)]


def _parsed(pieces: Sequence[tuple[int, str]], at: int) -> tuple[ast.Module, str, int]:
    """The piece's tree, its text without magics, and how many pieces it took: text between triple quotes may look like statements."""
    try:
        return *_tree(pieces[at][1]), 1
    except SyntaxError as error:
        if "triple-quoted" not in str(error):
            raise
        for end in range(at + 2, min(len(pieces), at + MOST_JOINED) + 1):
            with contextlib.suppress(SyntaxError):
                return *_tree("\n".join(text for _, text in pieces[at:end])), end - at
        raise


def _tree(source: str) -> tuple[ast.Module, str]:
    try:
        return ast.parse(source), source
    except SyntaxError:
        plain = _without_magic(source)
        if plain == source:
            raise
        return ast.parse(plain), plain


def _without_magic(source: str) -> str:
    """The text as IPython would run it, line for line: magics are calls, prompts and a common indentation are gone."""
    if len(source) > LONGEST_WITH_MAGIC or not MAY_HAVE_MAGIC.search(source):
        return source
    from IPython.core.inputtransformer2 import TransformerManager

    blank = re.match(r"(?:[ \t]*\n)*", source)[0]
    source = CONTINUED_MAGIC.sub(lambda found: found[1].replace("\\\n", " ") + "\n" * found[1].count("\\\n"), source[len(blank) :])
    plain = TransformerManager().transform_cell(source)
    return "\n" * blank.count("\n") + LINE_TIMED.sub(lambda found: ast.literal_eval(found[1]) or "pass", plain)


def _statements_in(tree: ast.Module, text: str, cell: int, offset: int) -> tuple[list[Statement], list[str]]:
    """The tree's statements, and what is wrong with those that parse but don't compile, a `return` outside a function, say.

    Args:
        offset: How many lines of the cell stand before the text.
    """
    lines = [line.encode() for line in text.split("\n")]  # Python counts columns in bytes
    kept, errors = [], []
    for node in tree.body:
        first = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", []))])
        try:
            code = compile(ast.Module([node], []), "<cell>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
            binds, reads = _names(code)
        except Exception as error:
            errors.append(_told(error, offset, first))
            continue
        source, always = _source(lines, node, first), isinstance(node, (ast.Import, ast.ImportFrom))
        kept.append(Statement(cell, first + offset, source, binds, reads, frozenset(_changes(node)), always))
    return kept, errors


def _source(lines: Sequence[bytes], node: ast.stmt, first: int) -> str:
    start = node.col_offset if first == node.lineno else 0  # a decorator stands at the beginning of its line
    if first == node.end_lineno:
        return lines[first - 1][start : node.end_col_offset].decode()
    last = lines[node.end_lineno - 1][: node.end_col_offset]
    return b"\n".join([lines[first - 1][start:], *lines[first : node.end_lineno - 1], last]).decode()


def _names(code: CodeType) -> tuple[frozenset[str], frozenset[str]]:
    """The global names that a statement binds and reads: Python's compiler knows which names are local to which function."""
    binds, reads = set(), set()
    waiting = [code]
    while waiting:
        block = waiting.pop()
        waiting += [constant for constant in block.co_consts if isinstance(constant, CodeType)]
        try:
            operations = [(operation.opname, operation.argval) for operation in dis.get_instructions(block)]
        except ValueError:  # dis wants to show each constant, and Python shows no integer of more than 4300 digits
            operations = [(name, argument) for argument in block.co_names for name in ("STORE_NAME", "LOAD_NAME")]
        reads |= {argument for name, argument in operations if name in LOADS}
        stores = ("STORE_NAME", "STORE_GLOBAL") if block is code else ("STORE_GLOBAL",)
        binds |= {argument for name, argument in operations if name in stores}
    return frozenset(binds), frozenset(reads)


def _changes(statement: ast.stmt) -> Iterator[str]:
    waiting: list[ast.AST] = [statement]
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            continue
        stored = isinstance(node, (ast.Attribute, ast.Subscript)) and not isinstance(node.ctx, ast.Load)
        method = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Attribute)
        inner = node if stored else node.value.func if method else None
        while isinstance(inner, (ast.Attribute, ast.Subscript, ast.Call)):
            inner = inner.func if isinstance(inner, ast.Call) else inner.value
        if isinstance(inner, ast.Name):
            yield inner.id
        waiting += ast.iter_child_nodes(node)


def _told(error: Exception, offset: int, line: int | None = None) -> str:
    said = error.msg if isinstance(error, SyntaxError) else str(error)
    place = getattr(error, "lineno", None) or line
    where = f" (line {place + offset})" if place else f" (from line {offset + 1})" if offset else ""
    said = str(said)[:200].encode("ascii", "backslashreplace").decode()
    return f"{type(error).__name__}: {said}{where}" if said else f"{type(error).__name__}{where}"


def needed(statements: Sequence[Statement], name: str) -> set[int]:
    """Indices of the statements that the function `name` may need: all that bind or change a name it reads, and so on, and all imports.

    What a statement changes by way of other names stays unknown; so this is for a second try, after running everything took too long.
    """
    found = {index for index, statement in enumerate(statements) if statement.always}
    imported = {bound for index in found for bound in statements[index].binds}
    binders = defaultdict(set)
    for index, statement in enumerate(statements):
        for bound in statement.binds | (statement.changes - imported):  # `time.sleep(9)` changes no `time`
            binders[bound].add(index)
    waiting, seen = [name], set()
    while waiting:
        wanted = waiting.pop()
        if wanted not in seen:
            seen.add(wanted)
            new = binders[wanted] - found
            found |= new
            waiting += [read for index in new for read in statements[index].reads]
    return found


def _nothing(*_: object) -> None:
    pass


def run(
    statements: Sequence[Statement],
    namespace: dict,
    *,
    leave_out: frozenset[int] = frozenset(),
    started: Callable[[int], None] = _nothing,
    ended: Callable[[int, float, BaseException | None], None] = _nothing,
) -> None:
    """Run the statements in their order, each whatever came of the others. Nothing that they raise comes out, SystemExit included.

    Those that missed a name are tried again once it is there (cells can be in any order), unless what they bind has been bound by a later
    statement since: the last version of a function is the one that counts.

    Args:
        namespace: The `__dict__` of a fresh module `__main__`.
        leave_out: Indices of statements that are not run.
        started: Called with the index before each statement.
        ended: Called after it with the index, the seconds it took, and its error or None. Of a statement tried again, the last call counts.
    """
    _register(statements)
    missing: dict[int, str | None] = {}  # of each statement that missed a name, which
    tried: set[tuple[int, str | None]] = set()
    bound_by: dict[str, int] = {}
    waiting = [index for index in range(len(statements)) if index not in leave_out]
    with _Session(namespace) as session:
        while waiting:
            for index in waiting:
                started(index)
                begin = perf_counter()
                error = session.execute(statements[index])
                ended(index, perf_counter() - begin, error)
                missing.pop(index, None)
                if type(error) is NameError:
                    missing[index] = error.name if type(error.name) is str else None
                elif error is None:
                    bound_by |= {name: max(index, bound_by.get(name, 0)) for name in statements[index].binds}
            waiting = [
                index
                for index, name in sorted(missing.items())
                if (name is None or name in namespace)
                and (index, name) not in tried
                and all(bound_by.get(bound, 0) <= index for bound in statements[index].binds)
            ]
            tried |= {(index, missing[index]) for index in waiting}


class _Session:
    """What stays from one statement to the next: the namespace, the `from __future__` imports, the event loop."""

    def __init__(self, namespace: dict) -> None:
        self.namespace = namespace
        self.futures = 0
        self.runner = asyncio.Runner()

    def __enter__(self) -> _Session:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(BaseException):  # of tasks that were left behind
            self.runner.close()

    def execute(self, statement: Statement) -> BaseException | None:
        try:
            code = self._compiled(statement)
            self.futures |= code.co_flags & FUTURES
            if code.co_flags & inspect.CO_COROUTINE:
                self.runner.run(eval(code, self.namespace))
            else:
                exec(code, self.namespace)
        except BaseException as error:
            return error
        return None

    def _compiled(self, statement: Statement) -> CodeType:
        flags = self.futures | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a warning that the notebook turned into an error would be a syntax error here
            tree = ast.increment_lineno(ast.parse(statement.source), statement.line - 1)
            return compile(tree, _file_name(statement.cell), "exec", flags, dont_inherit=True)


def _file_name(cell: int) -> str:
    return f"<cell {cell + 1}>"


def _register(statements: Sequence[Statement]) -> None:
    """Let tracebacks and `inspect.getsource` find the lines of the cells."""
    cells: dict[int, dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
    for statement in statements:
        for place, line in enumerate(statement.source.split("\n"), start=statement.line):
            cells[statement.cell][place].append(line)
    for cell, lines in cells.items():
        text = ["; ".join(lines.get(place, [])) + "\n" for place in range(1, max(lines) + 1)]
        linecache.cache[_file_name(cell)] = (sum(map(len, text)), None, text, _file_name(cell))


class _Shell:
    """Stands in for IPython's shell and whatever hangs on it: everything can be asked of it, and nothing happens."""

    def getoutput(self, *_: object, **__: object) -> list[str]:
        return []

    def __call__(self, *_: object, **__: object) -> None:
        return None

    def __getattr__(self, name: str) -> _Shell:
        if name.startswith("__"):  # copy, pickle and inspect take an answer to these seriously
            raise AttributeError(name)
        return _Shell()


def notebook_builtins() -> dict[str, Callable]:
    """What a notebook finds without importing it: `get_ipython` and `display`, which do nothing."""
    shell = _Shell()
    return {"get_ipython": lambda: shell, "display": _nothing}
