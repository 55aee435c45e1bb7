"""What ``kill -9`` takes from the studies of a service: nothing may be lost, nothing may be left.

One server, or several of one root, runs tiny studies on digits, two at once, as requests ask for.
At drawn moments one of these is killed: a server (another one is started at once), the driver of a
study, a worker of a study, or a server and a driver together. Then the studies run to their end,
and all of this is checked:

- every study ends as finished, and of each the same is checked as ``kills.py`` does: no record is
  changed or lost, no rung of a trial is recorded twice, MLflow is equal to the records
- no process of a study is left, neither when the studies have ended nor after the server

    python benchmarks/service_kills.py --kills 40 --seed 0 [--studies 3] [--servers 1] [--root DIR]

It prints a line a kill and exits with 1 if anything was lost or left.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import psutil
from kills import WORDS, Command, check, whole_lines

from archfront.search.records.paths import ROOT_VARIABLE, StudyPaths

# What is killed, with its share of the kills.
TARGETS = {"server": 0.35, "driver": 0.3, "worker": 0.15, "server and driver": 0.2}
# Seconds between kills, at most: a driver takes some ten of them to begin.
APART_S = 12.0
END_S = 1800.0
START_S = 120.0
TRIALS = 3


class Served:
    """A server in a process of its own, which is started again where it is killed.

    Args:
        root: Folder of the studies.
        token: That of another server of the root; taken from what this one prints when empty.
    """

    def __init__(self, root: Path, token: str = "") -> None:
        self.root, self._log = root, root / "server.log"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.token = token
        self.start()

    def start(self) -> None:
        """Start the server and wait until it answers."""
        words = ["serve", "--root", str(self.root), "--port", str(self._port)]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "archfront.search.cli", *words, "--max-studies", "2"],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            with suppress(OSError):
                self.ask("GET", "/health")
                self.token = self.token or self._printed_token()
                return
            time.sleep(0.1)
        raise AssertionError("the server does not answer")

    @property
    def address(self) -> str:
        """Return where the server answers."""
        return f"http://127.0.0.1:{self._port}"

    def kill(self) -> None:
        """Kill the server alone."""
        self.process.kill()
        self.process.wait()

    def end(self) -> int:
        """End the server as Ctrl-C does and return its exit status."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """Return the answer to a request."""
        request = urllib.request.Request(
            f"{self.address}/api/v1{path}",
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def _printed_token(self) -> str:
        text = self._log.read_text(encoding="utf-8")
        return text.partition("/login#")[2].split()[0]


def asked_for(command: Command) -> dict[str, Any]:
    """Return the request for a study that is equal to a command of ``kills.py``."""
    pairs = [word.partition("=")[::2] for word in (*WORDS, f"engine={command.engine}")]
    options = {name: value for name, value in pairs if "." in name}
    return {
        "name": command.paths.study,
        "choices": {name: value for name, value in pairs if "." not in name},
        "options": options | {"budget.trials": command.trials},
    }


def of_studies(root: Path) -> list[psutil.Process]:
    """Return the processes of studies: drivers, workers, reapers."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            is_dead = process.status() == psutil.STATUS_ZOMBIE
            if not is_dead and process.environ().get(ROOT_VARIABLE) == str(root):
                found.append(process)
    return found


def drivers(root: Path) -> list[psutil.Process]:
    """Return the drivers of studies."""
    found = []
    for process in of_studies(root):
        with suppress(psutil.Error):
            if "--plain" in process.cmdline():
                found.append(process)
    return found


def kill(servers: list[Served], target: str, rng: np.random.Generator) -> str:
    """Kill something and return what it was; empty where there was no such thing."""
    server = servers[int(rng.integers(len(servers)))]
    if target == "server":
        server.kill()
        server.start()
        return "server"
    found = drivers(server.root)
    if target == "worker":
        inner = [child for driver in found for child in driver.children(recursive=True)]
        found = [child for child in inner if "reaper.py" not in " ".join(child.cmdline())]
    if not found:
        return ""
    chosen = found[int(rng.integers(len(found)))]
    if target == "server and driver":
        server.kill()
    with suppress(psutil.NoSuchProcess):
        chosen.kill()
    if target == "server and driver":
        server.start()
    return target


def has_ended(server: Served, names: list[str], ends: Counter[str]) -> bool:
    """Return whether every study has ended, and count the states."""
    states = {study["name"]: study["state"] for study in server.ask("GET", "/studies")}
    ends.clear()
    ends.update(states[name] for name in names)
    return not any(state in ("waiting", "running") for state in states.values())


def left_after(root: Path, seconds: float) -> int:
    """Return how many processes of studies are left after some patience."""
    end = time.monotonic() + seconds
    while (left := of_studies(root)) and time.monotonic() < end:
        time.sleep(0.5)
    return len(left)


def killed_studies(root: Path, asked: argparse.Namespace) -> list[str]:
    """Run studies, kill, let them end, and return what is wrong."""
    rng, wrong = np.random.default_rng(asked.seed), []
    commands = [
        Command(StudyPaths(root, f"study-{n}"), TRIALS, ("inline", "processes")[n % 2])
        for n in range(asked.studies)
    ]
    servers = [Served(root)]
    servers += [Served(root, servers[0].token) for _ in range(asked.servers - 1)]
    server = servers[0]
    for command in commands:
        server.ask("POST", "/studies", asked_for(command))
    before = dict.fromkeys((command.paths.study for command in commands), b"")
    kills: Counter[str] = Counter()
    ends: Counter[str] = Counter()
    while kills.total() < asked.kills and not has_ended(server, list(before), ends):
        time.sleep(rng.uniform(0, APART_S))
        what = kill(servers, str(rng.choice(list(TARGETS), p=list(TARGETS.values()))), rng)
        for command in commands:
            content = whole_lines(command.paths.journal)
            if not content.startswith(before[command.paths.study]):
                wrong.append(f"{command.paths.study}: a record was changed")
            before[command.paths.study] = content
        if what:
            kills[what] += 1
            print(f"{kills.total():3} {what}", flush=True)
    deadline = time.monotonic() + END_S
    while not has_ended(server, list(before), ends) and time.monotonic() < deadline:
        time.sleep(1)
    if ends != {"finished": len(commands)}:
        wrong.append(f"the studies are {dict(ends)}")
        wrong += [f"{s['name']}: {s['reason']}" for s in server.ask("GET", "/studies")]
    if left := left_after(root, 30):
        wrong.append(f"{left} processes are left beside the servers")
    for each in servers:
        status = each.end()
        if status != 0:
            wrong.append(f"a server ended with {status}")
    if left := left_after(root, 5):
        wrong.append(f"{left} processes are left after the servers")
    for command in commands:
        try:
            check(command, before[command.paths.study], [])
        except AssertionError as error:
            wrong.append(f"{command.paths.study}: {error}")
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(kills.items()))
    print(
        f"{kills.total()} kills ({counts}) over {len(commands)} studies and "
        f"{len(servers)} servers, seed {asked.seed}"
    )
    return wrong


def main() -> int:
    """Kill and check; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=40, help="at most (default: %(default)s)")
    parser.add_argument("--studies", type=int, default=3, help="studies (default: %(default)s)")
    parser.add_argument("--servers", type=int, default=1, help="servers (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed (default: %(default)s)")
    parser.add_argument("--root", type=Path, help="where the root is kept (default: removed)")
    asked = parser.parse_args()
    root = Path(mkdtemp()) if asked.root is None else asked.root.absolute()
    root.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("ARCHFRONT_DEVICE_DB", str(root / "latency.db"))
    begun = time.monotonic()
    wrong = killed_studies(root, asked)
    for line in wrong:
        print(line)
    seconds = time.monotonic() - begun
    print(f"{len(wrong) or 'nothing'} wrong ({seconds:.0f} s)")
    if asked.root is None and not wrong:
        shutil.rmtree(root)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
