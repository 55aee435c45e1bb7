"""A driver without a study: holds the locks of one, does as it is told and ends.

``python small_driver.py ACTS run --config FILE --plain``, where the file ACTS has a list of acts,
of which each start takes the next one:

- ``finish``: record that the study is finished, and end with 0
- ``wait``: hold the study's lock until it is interrupted, and end with 130
- ``stubborn``: the same, and stay when it is interrupted
- ``crash``, ``refuse``, ``traceback``: end by SIGKILL, by 1 with an error, by 1 without one
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path


def main() -> int:
    acts = Path(sys.argv[1])
    config = Path(sys.argv[4])
    name = config.parent.name
    folder = config.parents[3] / "studies" / name
    folder.mkdir(parents=True, exist_ok=True)
    act = _next_act(acts)
    lock = (folder / "driver.lock").open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        print("archfront: two drivers at once", flush=True)
        return 1
    print(f"the act is {act}", flush=True)
    if act in ("wait", "stubborn"):
        return _wait(folder / "child", is_stubborn=act == "stubborn")
    if act == "crash":
        os.kill(os.getpid(), signal.SIGKILL)
    if act == "refuse":
        print("archfront: The images are damaged.\nTwo of them.", flush=True)
    return 0 if act == "finish" else 1


def _next_act(acts: Path) -> str:
    """Return the next act and take it off the list, alone among drivers that start at once."""
    with acts.open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        act, *waiting = json.load(file)
        file.seek(0)
        json.dump(waiting, file)
        file.truncate()
        file.flush()
    return str(act)


def _wait(told: Path, *, is_stubborn: bool) -> int:
    child = subprocess.Popen(["sleep", "600"], start_new_session=True)
    try:
        told.write_text(str(child.pid))  # whoever reads it may interrupt at once
        while True:
            time.sleep(600)
    except KeyboardInterrupt:
        while is_stubborn:
            time.sleep(600)
    child.kill()
    child.wait()
    return 130


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
