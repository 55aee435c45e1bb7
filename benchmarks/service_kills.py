"""What ``kill -9`` takes from the studies of a service: nothing may be lost, nothing may be left.

One server, or several of one root, runs tiny studies on digits, two at once, as requests ask for.
At drawn moments one of these is killed: a server (another one is started at once), the driver of a
study, a worker of a study, or a server and a driver together. Studies that have ended before there
were enough kills are extended. Then all run to their end, and all of this is checked:

- every study ends as finished, and of each the same is checked as ``kills.py`` does: no record is
  changed or lost, no rung of a trial is recorded twice, MLflow is equal to the records
- no process of a study is left, neither when the studies have ended nor after the server

    python benchmarks/service_kills.py --kills 32 --seed 0 [--studies 3] [--servers 2] [--root DIR]

Some kills follow within seconds of the one before, the others some events of the studies after it,
so that a slow machine trains between kills, too. Nobody waits until a server is there again. It
prints a line a kill, with what was recorded by then, and exits with 1 if anything was lost or
left.
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
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import psutil
from kills import WORDS, Command, check, whole_lines

from archfront.search.errors import ArchfrontError
from archfront.search.records.paths import ROOT_VARIABLE, StudyPaths
from archfront.search.records.store import reading
from archfront.search.results.results import Results

# What is killed, with its share of the kills.
TARGETS = {"server": 0.35, "driver": 0.3, "worker": 0.15, "server and driver": 0.2}
# Share of the kills that follow within seconds, and how many at most; most events before another.
SOON, SOON_S, EVENTS = 0.4, 5.0, 6
END_S = 3600.0
START_S = 300.0
# Trials of a study, and how many more one has that ended before there were enough kills.
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
        """Start the server."""
        words = ["serve", "--root", str(self.root), "--port", str(self._port)]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "archfront.search.cli", *words, "--max-studies", "2"],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait(self) -> Served:
        """Return the server when it answers."""
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            if self.answers():
                self.token = self.token or self._printed_token()
                return self
            time.sleep(0.2)
        raise AssertionError("the server does not answer")

    def answers(self) -> bool:
        """Return whether the server answers now."""
        with suppress(OSError):
            self.ask("GET", "/health")
            return True
        return False

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
        return self.process.wait(300)

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """Return the answer to a request."""
        request = urllib.request.Request(
            f"{self.address}/api/v1{path}",
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=300) as answer:
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


def used_s(process: psutil.Process) -> float:
    """Return the processor seconds of a process and of those that it started, ended ones too."""
    with suppress(psutil.Error):
        return sum(sum(p.cpu_times()[:4]) for p in [process, *process.children(recursive=True)])
    return 0.0


def drivers(root: Path) -> list[psutil.Process]:
    """Return the drivers of studies."""
    found = []
    for process in of_studies(root):
        with suppress(psutil.Error):
            if "--plain" in process.cmdline():
                found.append(process)
    return found


def workers(driver: psutil.Process) -> list[psutil.Process]:
    """Return the processes of a driver, but for the one that ends them after it."""
    with suppress(psutil.Error):
        inner = driver.children(recursive=True)
        return [child for child in inner if "reaper.py" not in " ".join(child.cmdline())]
    return []


def kill_any(servers: list[Served], rng: np.random.Generator) -> str:
    """Kill something that is there, and return what it was."""
    while True:
        target = str(rng.choice(list(TARGETS), p=list(TARGETS.values())))
        if what := kill(servers, target, rng):
            return what


def kill(servers: list[Served], target: str, rng: np.random.Generator) -> str:
    """Kill something and return what it was; empty where there was no such thing."""
    server = servers[int(rng.integers(len(servers)))]
    if target == "server":
        server.kill()
        server.start()
        return "server"
    found = drivers(server.root)
    if target == "worker":
        found = [child for driver in found for child in workers(driver)]
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


class Studies:
    """The studies of a root, by their requests.

    Args:
        root: Folder of the studies.
        number: How many.
    """

    def __init__(self, root: Path, number: int) -> None:
        self.commands = [
            Command(StudyPaths(root, f"study-{n}"), TRIALS, ("inline", "processes")[n % 2])
            for n in range(number)
        ]
        self._journals = dict.fromkeys((each.paths.study for each in self.commands), b"")

    def n_events(self) -> int:
        """Return how many events are logged in all studies together."""
        logs = [command.paths.events for command in self.commands]
        return sum(log.read_bytes().count(b"\n") for log in logs if log.is_file())

    def extend(self, server: Served) -> None:
        """Let every study go on for some trials more."""
        for place, command in enumerate(self.commands):
            self.commands[place] = more = replace(command, trials=command.trials + TRIALS)
            body = {"trials": more.trials}
            server.ask("POST", f"/studies/{more.paths.study}/extend", body)

    def changed(self) -> list[str]:
        """Return in which studies a record was changed or lost since the last call."""
        wrong = []
        for command in self.commands:
            name, content = command.paths.study, whole_lines(command.paths.journal)
            if not content.startswith(self._journals[name]):
                wrong.append(f"{name}: a record was changed")
            self._journals[name] = content
        return wrong

    def n_recorded(self) -> int:
        """Return how many rungs of trials are recorded in all studies together."""
        found = 0
        for command in self.commands:
            with suppress(ArchfrontError):  # a study that has not begun
                results = Results.read(reading(command.paths, None), command.paths)
                found += len(results.evaluations)
        return found

    def wrong(self) -> list[str]:
        """Return what is wrong with the records of studies that have ended."""
        wrong = []
        for command in self.commands:
            try:
                check(command, self._journals[command.paths.study], [])
            except AssertionError as error:
                wrong.append(f"{command.paths.study}: {error}")
        return wrong


def states_of(servers: list[Served]) -> Counter[str]:
    """Return how many studies are in each state, as the first server says that answers."""
    server = next((each for each in servers if each.answers()), None) or servers[0].wait()
    return Counter(study["state"] for study in server.ask("GET", "/studies"))


def is_over(states: Counter[str]) -> bool:
    """Return whether no study goes on."""
    return not (states["waiting"] or states["running"])


def wait_for_next(studies: Studies, servers: list[Served], rng: np.random.Generator) -> bool:
    """Wait until the time of the next kill; return whether a study goes on."""
    if rng.random() < SOON:
        time.sleep(rng.uniform(0, SOON_S))
        return True
    wanted = studies.n_events() + int(rng.integers(1, EVENTS + 1))
    while studies.n_events() < wanted:
        if is_over(states_of(servers)):
            return False
        time.sleep(3)
    time.sleep(rng.uniform(0, 1))
    return True


def left_after(root: Path, seconds: float) -> int:
    """Return how many processes of studies are left after some patience."""
    end = time.monotonic() + seconds
    while (left := of_studies(root)) and time.monotonic() < end:
        time.sleep(0.5)
    return len(left)


def killed_studies(root: Path, asked: argparse.Namespace) -> list[str]:
    """Run studies, kill, let them end, and return what is wrong."""
    rng, wrong, kills = np.random.default_rng(asked.seed), [], Counter[str]()
    studies = Studies(root, asked.studies)
    server = Served(root).wait()
    servers = [server, *(Served(root, server.token) for _ in range(asked.servers - 1))]
    for command in studies.commands:
        server.ask("POST", "/studies", asked_for(command))
    while kills.total() < asked.kills:
        if not wait_for_next(studies, servers, rng):
            if states_of(servers) != {"finished": len(studies.commands)}:
                break
            studies.extend(server.wait())
            print("    all have ended: extended", flush=True)
            continue
        kills[what := kill_any(servers, rng)] += 1
        wrong += studies.changed()
        print(f"{kills.total():3} {what} ({studies.n_recorded()} rungs recorded)", flush=True)
    for each in servers:
        each.wait()
    deadline = time.monotonic() + END_S
    while not is_over(states := states_of(servers)) and time.monotonic() < deadline:
        time.sleep(2)
    if states != {"finished": len(studies.commands)}:
        wrong.append(f"the studies are {dict(states)}")
        wrong += [f"{s['name']}: {s['reason']}" for s in server.ask("GET", "/studies")]
    if left := left_after(root, 30):
        wrong.append(f"{left} processes are left beside the servers")
    for each in servers:
        status = each.end()
        if status != 0:
            wrong.append(f"a server ended with {status}")
    if left := left_after(root, 5):
        wrong.append(f"{left} processes are left after the servers")
    wrong += studies.changed() + studies.wrong()
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(kills.items()))
    trials = sum(command.trials for command in studies.commands)
    print(
        f"{kills.total()} kills ({counts}) over {len(studies.commands)} studies of {trials} "
        f"trials and {len(servers)} servers, {studies.n_recorded()} rungs recorded, "
        f"seed {asked.seed}"
    )
    return wrong


def main() -> int:
    """Kill and check; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=32, help="kills (default: %(default)s)")
    parser.add_argument("--studies", type=int, default=3, help="studies (default: %(default)s)")
    parser.add_argument("--servers", type=int, default=2, help="servers (default: %(default)s)")
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
