"""The command line: `segcourse open | build | check | submit | grade | release | train | doctor | bench`."""

import argparse
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from course import __version__, lessons
from course.errors import CourseError
from course.recipes import recipes

EXIT_INTERRUPTED = 130


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 the answer is no, 2 it could not be done, 130 interrupted."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except CourseError as error:
        print(f"segcourse {options.command}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"\nsegcourse {options.command}: stopped.", file=sys.stderr)
        return EXIT_INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="segcourse", description="An interactive course on image segmentation and object detection.")
    parser.add_argument("--version", action="version", version=f"segcourse {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    add = _command(commands, "open", _open, "open JupyterLab on the lessons", ["", "03", "unpooling --no-browser --port 8890"])
    add("lesson", nargs="?", metavar="LESSON", help="number, topic or file name; the first lesson without one")
    add("--to", type=Path, metavar="DIR", help="copy the lessons to DIR and open them there; nothing in it is overwritten")
    add("--no-browser", action="store_true", help="don't open a browser; the address is printed")
    add("--port", type=_port, metavar="N", help="the port of JupyterLab (a free one near 8888)")

    examples = ["", "03", "--check", "--check --no-execute 03"]
    add = _command(commands, "build", _build, "make the notebooks from lessons/NN_slug.py", examples)
    add("lesson", nargs="?", metavar="LESSON", help="one lesson; all of them without one")
    add("--check", action="store_true", help="write nothing; fail when a committed notebook is not what its source gives")
    add("--no-execute", action="store_true", help="with --check: compare the sources only, which takes a second")
    add("--timeout", type=_seconds, default=600, metavar="S", help="seconds that one cell may take (600)")

    examples = ["03_unpooling_exercises.ipynb", "solution.py"]
    add = _command(commands, "check", _check, "check the exercises in a student's notebook", examples)
    add("notebook", type=Path, metavar="NOTEBOOK", help="a notebook or script; it is run as a copy and never changed")
    add("--timeout", type=_seconds, default=600, metavar="S", help="seconds that one cell may take (600)")

    examples = ["03_unpooling_exercises.ipynb", "mine.ipynb --to handed-in"]
    add = _command(commands, "submit", _submit, "pack a notebook and what belongs to it into one file to hand in", examples)
    add("notebook", type=Path, metavar="NOTEBOOK", help="your notebook; it is only read")
    add("--to", type=Path, metavar="DIR", help="the folder for the packed file (the notebook's)")

    examples = [
        "handed-in --seed SECRET --out grades",
        "handed-in --seed-file secret.txt --out grades --lesson 03 --jobs 4",
        "handed-in --seed SECRET --out grades --only max_unpool --only 'alice*'",
        "handed-in --seed SECRET --out grades --scheduler tcp://10.0.0.5:8786",
    ]
    add = _command(commands, "grade", _grade, "grade a folder of submissions on hidden cases, in sandboxes", examples, _GRADE)
    add("folder", type=Path, metavar="FOLDER", help="the submissions: notebooks, scripts, packed files; its folders are looked through")
    add("--seed", metavar="SECRET", help="words that only you know: the hidden cases are drawn from them")
    add("--seed-file", type=Path, metavar="FILE", help="a file that holds them: a command line can be read by others on this machine")
    add("--out", type=Path, required=True, metavar="DIR", help="the folder for the results; a stopped batch goes on in it")
    add("--lesson", metavar="LESSON", help="the lesson of all submissions (what each one's functions show)")
    add("--only", action="append", default=[], metavar="NAME", help="a question, or a pattern of submissions; they are graded again")
    add("--jobs", type=_seconds, metavar="N", help="submissions at a time (as many as there are cores)")
    add("--device", default="cpu", metavar="DEVICE", help="cpu, cuda or cuda:N (cpu)")
    add("--scheduler", default="", metavar="ADDRESS", help="a Dask scheduler: its workers grade")
    add("--seconds", type=_seconds, default=30, metavar="S", help="that a function may take for all of its cases (30)")
    add("--memory", type=_seconds, default=2048, metavar="MB", help="that a submission's process may take (2048)")
    add("--gradescope", action="store_true", help="write Gradescope's results.json too")
    add("--no-sandbox", action="store_true", help="run the students' code with your own rights: only where you trust all of it")

    examples = ["for-students", "for-students 03"]
    add = _command(commands, "release", _release, "write what students get: the lessons and their exercises, without solutions", examples)
    add("folder", type=Path, metavar="DIR", help="where to; nothing in it is overwritten")
    add("lesson", nargs="*", metavar="LESSON", help="some lessons; all of them without one")

    examples = ["fcn", "fcn --epochs 2 --out small.safetensors", "fcn --checkpoint run.pt", "fcn --data camvid --device cuda"]
    add = _command(commands, "train", _train, "train one of the course's models by its recipe, and measure it", examples, _recipes())
    add("name", metavar="NAME", help="the recipe")
    add("--data", metavar="SET", help="what to train on, of what the recipe offers (its first)")
    add("--seed", type=_whole, default=0, metavar="N", help="of the first weights and of every draw after them (0)")
    add("--epochs", type=_whole, metavar="N", help="how often all the data are seen (what the recipe says)")
    add("--device", default="auto", metavar="DEVICE", help="auto, cpu, cuda, cuda:N or mps (auto)")
    add("--out", type=Path, metavar="FILE", help="where the weights go (NAME.safetensors here); an older file is replaced")
    add("--checkpoint", type=Path, metavar="FILE", help="keep the training there after each epoch, and go on from it when it is there")
    add("--ship", action="store_true", help="write to course/weights and its manifest, in a checkout")

    _command(commands, "doctor", _doctor, "tell what is here, what is missing and how to get it", [""])

    add = _command(commands, "bench", _bench, "measure what is fast, against its peers on this machine", ["", "-- --help"])
    add("arguments", nargs="*", metavar="ARGUMENT", help="passed on to the benchmark")
    return parser


def _command(commands, name, run, summary, examples, more=""):
    lines = "\n".join(f"  segcourse {name} {example}".rstrip() for example in examples)
    parser = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=f"examples:\n{lines}\n{more}".rstrip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser.add_argument


_GRADE = """
Stop it with Ctrl-C; the same command goes on from there. In DIR: grades.csv, a row a question; reports/, a page for each student
and index.html for you; submissions/, all that is known as JSON. Exit code 1: some submissions could not be read.
"""


def _recipes() -> str:
    found = recipes()
    width = max(map(len, found), default=0)
    return "\nrecipes:\n" + "\n".join(f"  {name:<{width}}  {what}" for name, what in found.items())


def _port(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; accepted are 1 to 65535")
    return int(text)


def _seconds(text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds; accepted are whole numbers from 1")
    return int(text)


def _whole(text: str) -> int:
    if not text.isdigit() or not 0 <= int(text) < 2**63:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number; accepted are 0, 1, 2 and so on")
    return int(text)


def _open(options: argparse.Namespace) -> int:
    from course import lab

    folder, said = lab.lesson_folder(options.to)
    for sentence in said:
        print(sentence)
    notebook = lessons.choose(lessons.notebooks(folder), options.lesson)
    return lab.open_lab(folder, notebook, browser=not options.no_browser, port=options.port)


def _build(options: argparse.Namespace) -> int:
    if options.no_execute and not options.check:
        raise CourseError("--no-execute goes with --check: a notebook is always written with its outputs.")
    root = lessons.require_checkout("build")
    _require("jupytext", "nbclient", "nbformat", extra="author")
    from course import build

    found = lessons.sources(root / "lessons")
    wanted = found if options.lesson is None and found else [lessons.choose(found, options.lesson)]
    repository = build.repository_of(root)
    for source in wanted:
        if options.check:
            build.check(source, repository, print, options.timeout, execute=not options.no_execute)
        else:
            build.build(source, repository, print, options.timeout)
    return 0


def _check(options: argparse.Namespace) -> int:
    _require("nbclient", "nbformat", "ipykernel", extra="lab")
    from course.student_notebook import check_notebook

    report = check_notebook(options.notebook, options.timeout)
    for sentence in report["failed_cells"]:
        print(sentence)
    for exercise in report["exercises"]:
        print(f"\n{exercise['name']}: {'passed' if exercise['passed'] else 'not yet'}")
        print("\n".join(f"    {line}".rstrip() for line in exercise["text"].splitlines()))
    passed = sum(exercise["passed"] for exercise in report["exercises"])
    print(f"\n{passed} of {len(report['exercises'])} exercises pass.")
    return 0 if passed == len(report["exercises"]) else 1


def _submit(options: argparse.Namespace) -> int:
    from course.grading.packing import pack_notebook

    return 0 if pack_notebook(options.notebook, options.to, print) else 1


def _grade(options: argparse.Namespace) -> int:
    from course.grading.batch import Batch, grade_folder
    from course.grading.grader import Order
    from course.grading.limits import MB, Limits
    from course.grading.questions import find_lesson

    limits = Limits(seconds=float(options.seconds), memory=options.memory * MB)
    hidden = () if options.seed_file is None else (str(options.seed_file),)
    order = Order(_secret(options), device=options.device, sandboxed=not options.no_sandbox, limits=limits, hidden=hidden)
    batch = Batch(
        folder=options.folder,
        out=options.out,
        order=order,
        lesson=find_lesson(options.lesson) if options.lesson else None,
        only=tuple(options.only),
        jobs=options.jobs or os.cpu_count() or 1,
        scheduler=options.scheduler,
        gradescope=options.gradescope,
    )
    summary = grade_folder(batch)
    print("\n".join(summary.lines(options.out)))
    return 1 if summary.problems else 0


def _secret(options: argparse.Namespace) -> str:
    if (options.seed is None) == (options.seed_file is None):
        raise CourseError("The hidden cases are drawn from a secret: name it with --seed, or a file that holds it with --seed-file.")
    if options.seed_file is None:
        secret = options.seed
    else:
        try:
            secret = options.seed_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise CourseError(f"{options.seed_file} can't be read ({getattr(error, 'strerror', None) or error}).") from None
    if not secret:
        raise CourseError("The secret is empty: any words will do that nobody guesses.")
    return secret


def _release(options: argparse.Namespace) -> int:
    from course.grading.release import release

    release(options.folder, options.lesson, print)
    return 0


def _train(options: argparse.Namespace) -> int:
    if options.ship and options.out:
        raise CourseError("--ship and --out say two places for the weights: choose one.")
    ship = lessons.require_checkout("train --ship") / "course" / "weights" if options.ship else None
    from course.follow import Order, follow

    order = {name: getattr(options, name) for name in ("name", "data", "seed", "epochs", "device", "out", "checkpoint")}
    return 0 if follow(Order(**order, ship=ship), print) else EXIT_INTERRUPTED


def _doctor(_: argparse.Namespace) -> int:
    from course import doctor

    lines, can_run = doctor.report()
    print("\n".join(lines))
    return 0 if can_run else 1


def _bench(options: argparse.Namespace) -> int:
    root = lessons.require_checkout("bench")
    if not (root / "tests" / "bench" / "__main__.py").is_file():
        raise CourseError("This checkout has no benchmark: tests/bench/__main__.py is missing.")
    return subprocess.run([sys.executable, "-m", "tests.bench", *options.arguments], cwd=root).returncode


def _require(*modules: str, extra: str) -> None:
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise CourseError(f'{", ".join(missing)} missing here: pip install "segcourse[{extra}]" installs what this command needs.')


if __name__ == "__main__":
    sys.exit(main())
