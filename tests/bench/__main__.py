"""`segcourse bench`: what is fast, as ratios against peers measured in the same run. Nothing here passes or fails.

A topic is a file of this folder with `measure(quick) -> list[Row]`.
"""

import argparse
import importlib
import os
import platform
import sys
from pathlib import Path

from tests.bench.table import table

TOPICS = sorted({path.stem for path in Path(__file__).parent.glob("[a-z]*.py")} - {"table"})


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="segcourse bench",
        description="What is fast, as ratios against peers measured in the same run.",
        epilog="examples:\n  segcourse bench\n  segcourse bench widgets\n  segcourse bench -- --quick " + " ".join(TOPICS[:2]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("topics", nargs="*", metavar="TOPIC", help=f"{', '.join(TOPICS)}; all of them without one")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions: the ratios are rougher")
    options = parser.parse_args(arguments)
    unknown = [topic for topic in options.topics if topic not in TOPICS]
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]!r}; there are {', '.join(TOPICS)}")
    print(machine(), flush=True)
    for topic in options.topics or TOPICS:
        print(f"{topic} …", file=sys.stderr, flush=True)
        rows = importlib.import_module(f"tests.bench.{topic}").measure(options.quick)
        print(f"\n{topic}\n{table(rows)}", flush=True)
    return 0


def machine() -> str:
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{os.cpu_count()} cores, {gpu}, Python {platform.python_version()}, torch {torch.__version__}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
