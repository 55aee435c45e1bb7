"""How soon the command answers: the wall time of its verbs, each in a process of its own.

::

    python benchmarks/startup.py --runs 5 --root mlruns --study digits

The runs are interleaved, so that whatever else the machine does meets all of them, and a bare
``python -c pass`` stands beside them. The first round warms the disk and does not count. Without a
study only ``--help``, ``--version`` and ``list`` are timed. With ``--export DIR --image FILE`` the
first answer of an exported model is timed too. The aim is at most 1.5 s.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import subprocess
import sys
import time
from pathlib import Path

AIM_S = 1.5


def main() -> None:
    options = _options()
    verbs = [["--help"], ["--version"], ["list", "--root", str(options.root)]]
    if options.study:
        verbs += [[v, options.study, "--root", str(options.root)] for v in ("front", "show")]
    names = {" ".join(["archfront", verb[0]]): verb for verb in verbs}
    for export in options.export:
        names[f"archfront predict {export}"] = ["predict", export, options.image, "--json"]
    commands = {"python -c pass": [sys.executable, "-c", "pass"]}
    command = shlex.split(options.archfront)
    commands |= {name: [*command, *verb] for name, verb in names.items()}
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for round_ in range(options.runs + 1):
        for name, command in commands.items():
            taken = _seconds(command)
            if round_ > 0:
                seconds[name].append(taken)
    width = max(map(len, commands))
    print(f"{'wall s of':<{width}}  median     min     max  ({options.runs} runs)")
    for name, taken in seconds.items():
        middle = statistics.median(taken)
        verdict = "" if middle <= AIM_S else f"  over {AIM_S}"
        print(f"{name:<{width}}  {middle:6.3f}  {min(taken):6.3f}  {max(taken):6.3f}{verdict}")


def _seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--root", type=Path, default=Path("mlruns"))
    parser.add_argument("--study", help="a study in the root, for front and show")
    parser.add_argument("--export", nargs="*", default=[], help="exports, or formats of them")
    parser.add_argument("--image", help="what they are asked of")
    parser.add_argument(
        "--archfront",
        default=shlex.quote(str(Path(sys.executable).with_name("archfront"))),
        help="the command (default: the one beside this python)",
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
