"""How quick the service answers while many ask, and what they cost the study that runs beside.

``load``: a server as a process of its own drives a study on digits. Then the same study runs once
more while 50 clients poll the list, the study, its front, its trials and what runs, each every 2.5
seconds as a page without events does, and 20 follow its events; and so on in turn. The clients are
one process. Printed are the milliseconds of a read, the memory of the server, and the seconds of
each training and the processor seconds of the whole study against those without clients, by the
median over trainings of the same candidate.

``list``: 1,000 finished studies of 200 trials each, and the milliseconds of the list and of
studies that the server has not read yet, as JSON and as a page's HTML.

    python benchmarks/service_load.py load [--pairs 2] [--trials 10] [--clients 50] [--streams 20]
    python benchmarks/service_load.py list [--studies 1000] [--trials 200]

Aims on two cores: 95 of 100 reads within 100 ms, at most 5 % slower, 200 MB; 300 ms for lists.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import aiohttp
import numpy as np
import psutil
from made_up_studies import root_of
from service_kills import Served, drivers, used_s

from archfront.search.records.evaluation import Trained
from archfront.search.records.paths import StudyPaths
from archfront.search.records.store import reading

# The reads of a client, below /api/v1.
READS = {
    "list": "studies",
    "study": "studies/{}",
    "front": "studies/{}/front",
    "trials": "studies/{}/trials",
    "running": "studies/{}/running",
}
EVERY_S = 2.5
# A study whose candidates are the same each time, and whose trainings take seconds.
CHOICES = {"experiment": "digits", "sampler": "random"}
OPTIONS = {
    "data.train": 900,
    "data.val": 300,
    "data.test": 300,
    "space.backbones": ["test_resnet"],
    "space.exclude": [],
    "space.heads": ["avg"],
    "space.input_sizes": [8, 16],
    "space.recipe.lr": [0.001, 0.003, 0.01],
    "space.recipe.augment": ["none", "light"],
    "task.epochs": 12,
    "budget.rungs": [12],
    "hardware.runtime": "eager",
    "hardware.max_seconds": 0.5,
    "hardware.limits.latency_ms": None,
    "engine.threads": 1,
}
# Seconds of a study, which takes less than a minute on two quiet cores.
LONGEST_S = 600.0
AIMS = {"p95_ms": 100.0, "slower": 0.05, "server_mb": 200.0, "list_ms": 300.0}


class Clients:
    """Those who ask, in one process.

    Args:
        address: Of the server.
        study: Name of the study.
        tokens: One for each client.
    """

    def __init__(self, address: str, study: str, tokens: list[str]) -> None:
        self._address, self._study, self._tokens = address, study, tokens
        self.waits_ms: dict[str, list[float]] = {name: [] for name in READS}
        self.wrong: list[str] = []
        self.n_events = 0

    async def run(self, n_clients: int, n_streams: int, ended: asyncio.Event) -> None:
        """Ask until it is told to end."""
        connections = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(self._address, connector=connections) as session:
            tasks = [self._poll(session, n, n_clients) for n in range(n_clients)]
            tasks += [self._follow(session, n) for n in range(n_streams)]
            running = asyncio.gather(*tasks)
            await ended.wait()
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

    async def _poll(self, session: aiohttp.ClientSession, place: int, n: int) -> None:
        await asyncio.sleep(EVERY_S * place / n)  # clients began at any time
        headers = {"Authorization": f"Bearer {self._tokens[place]}"}
        while True:
            begun = time.perf_counter()
            for name, path in READS.items():
                asked = time.perf_counter()
                path = f"/api/v1/{path.format(self._study)}"
                async with session.get(path, headers=headers) as answer:
                    await answer.read()
                    if answer.status == 404 and not self.waits_ms[name]:
                        continue  # a study that has no records yet
                    self.waits_ms[name].append(1000 * (time.perf_counter() - asked))
                    if answer.status != 200:
                        self.wrong.append(f"{name}: {answer.status}")
            await asyncio.sleep(max(0.0, begun + EVERY_S - time.perf_counter()))

    async def _follow(self, session: aiohttp.ClientSession, place: int) -> None:
        headers = {"Authorization": f"Bearer {self._tokens[place]}"}
        path, none = f"/api/v1/studies/{self._study}/events", aiohttp.ClientTimeout(total=None)
        while True:
            async with session.get(path, headers=headers, timeout=none) as answer:
                async for line in answer.content:
                    self.n_events += line.startswith(b"event:")


def ask_as_clients(asked: argparse.Namespace) -> None:
    """Ask until SIGTERM, and print what the clients saw as JSON."""

    async def run() -> Clients:
        clients = Clients(asked.address, asked.study, json.loads(sys.stdin.readline()))
        ended = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
        await clients.run(asked.clients, asked.streams, ended)
        return clients

    clients = asyncio.run(run())
    seen = {"waits_ms": clients.waits_ms, "wrong": clients.wrong, "n_events": clients.n_events}
    print(json.dumps(seen))


class Watch(threading.Thread):
    """Watches the memory of a server and the processor seconds of the study that it runs.

    Args:
        server: The server.
    """

    def __init__(self, server: Served) -> None:
        super().__init__(daemon=True)
        self._server, self._process = server, psutil.Process(server.process.pid)
        self._ended = threading.Event()
        self.server_mb = self.study_cpu_s = 0.0
        self._cpu_before = self._server_cpu()

    def run(self) -> None:
        """Look twice a second until it is told to end."""
        while not self._ended.wait(0.5):
            self.server_mb = max(self.server_mb, self._process.memory_info().rss / 1e6)
            for driver in drivers(self._server.root):
                self.study_cpu_s = max(self.study_cpu_s, used_s(driver))

    def end(self) -> float:
        """Look no longer and return the processor seconds of the server meanwhile."""
        self._ended.set()
        self.join()
        return self._server_cpu() - self._cpu_before

    def _server_cpu(self) -> float:
        used = self._process.cpu_times()
        return float(used.user + used.system)


@contextmanager
def asking(server: Served, study: str, tokens: list[str], n_streams: int) -> Iterator[Any]:
    """Let clients ask during the block; what they saw is in the mapping that is given."""
    words = ["clients", "--address", server.address, "--study", study]
    words += ["--clients", str(len(tokens)), "--streams", str(n_streams)]
    process = subprocess.Popen(
        [sys.executable, __file__, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(tokens).encode() + b"\n")
    process.stdin.flush()
    seen: dict[str, Any] = {}
    try:
        yield seen
    finally:
        process.terminate()
        printed, _ = process.communicate(timeout=60)
        seen |= json.loads(printed)


def run_study(
    server: Served, name: str, asked: argparse.Namespace, tokens: list[str]
) -> dict[str, Any]:
    """Run a study to its end and return what was measured; without tokens nobody asks."""
    options = OPTIONS | {"budget.trials": asked.trials}
    watch = Watch(server)
    server.ask("POST", "/studies", {"name": name, "choices": CHOICES, "options": options})
    watch.start()
    seen: dict[str, Any] = {}
    if tokens:
        with asking(server, name, tokens, asked.streams) as seen:
            state = wait_for_end(server, name)
    else:
        state = wait_for_end(server, name)
    server_cpu_s = watch.end()
    assert state == "finished", server.ask("GET", f"/studies/{name}")["reason"]
    evaluations = reading(StudyPaths(server.root, name), None).evaluations()
    trained = {
        e.candidate.id: e.outcome.seconds for e in evaluations if isinstance(e.outcome, Trained)
    }
    return {
        "trained": trained,
        "cpu_s": watch.study_cpu_s,
        "server_cpu_s": server_cpu_s,
        "server_mb": watch.server_mb,
        **seen,
    }


def wait_for_end(server: Served, name: str) -> str:
    """Wait until a study has ended and return its state."""
    begun = time.monotonic()
    while (waited_s := time.monotonic() - begun) < LONGEST_S:
        study = server.ask("GET", f"/studies/{name}")
        if study["state"] not in ("waiting", "running"):
            print(f"{name}: {study['state']} after {waited_s:.0f} s", flush=True)
            return str(study["state"])
        time.sleep(2)
    raise SystemExit(f"{name} did not end within {LONGEST_S:.0f} s: {study['counts']}")


def load(asked: argparse.Namespace, folder: Path) -> bool:
    """Run a study in turn without and with clients; return whether the aims are met."""
    server = Served(folder)
    try:
        return loaded(asked, server.wait())
    finally:
        server.end()
        for driver in drivers(folder):  # of a study that has not ended
            driver.kill()


def loaded(asked: argparse.Namespace, server: Served) -> bool:
    """Do so with a server."""
    tokens = [
        server.ask("POST", "/tokens", {"name": f"client {n}", "scope": "read"})["token"]
        for n in range(asked.clients)
    ]
    run_study(server, "first", asked, [])  # what is made once: the data, measured latencies
    ratios, cpu_ratios, under_load = [], [], []
    for n in range(asked.pairs):
        turn = [(f"quiet-{n}", []), (f"asked-{n}", tokens)]
        found = {
            name[:5]: run_study(server, name, asked, who)
            for name, who in (turn if n % 2 == 0 else turn[::-1])
        }
        quiet, with_load = found["quiet"], found["asked"]
        both = quiet["trained"].keys() & with_load["trained"].keys()
        ratios += [with_load["trained"][c] / quiet["trained"][c] for c in both]
        cpu_ratios.append(with_load["cpu_s"] / quiet["cpu_s"])
        under_load.append(with_load)
        print(
            f"pair {n + 1}: {len(both)} trainings, {quiet['cpu_s']:.1f} and "
            f"{with_load['cpu_s']:.1f} s of processor time without and with clients; load "
            f"{os.getloadavg()[0]:.1f}",
            flush=True,
        )
    return told(under_load, median(ratios), median(cpu_ratios))


def told(loaded: list[dict[str, Any]], slower: float, cpu: float) -> bool:
    """Print what was measured and return whether the aims are met."""
    waits: dict[str, list[float]] = {name: [] for name in READS}
    for one in loaded:
        for name, some in one["waits_ms"].items():
            waits[name] += some
        assert not one["wrong"], one["wrong"][:5]
    every = [wait for some in waits.values() for wait in some]
    for name, some in {**waits, "all": every}.items():
        p50, p95, p99 = np.percentile(some, [50, 95, 99])
        print(f"{name:8} {len(some):6} reads, {p50:6.1f} {p95:6.1f} {p99:6.1f} ms (50, 95, 99 %)")
    server_mb = max(one["server_mb"] for one in loaded)
    cpu_s = {key: sum(one[key] for one in loaded) for key in ("server_cpu_s", "n_events")}
    print(
        f"server {server_mb:.0f} MB, {1000 * cpu_s['server_cpu_s'] / len(every):.1f} ms of "
        f"processor time a read with {cpu_s['n_events']} events; a training {slower - 1:+.1%}, "
        f"the study's processor time {cpu - 1:+.1%}"
    )
    p95 = float(np.percentile(every, 95))
    is_good = (
        p95 <= AIMS["p95_ms"] and slower - 1 <= AIMS["slower"] and server_mb <= AIMS["server_mb"]
    )
    print("aims met" if is_good else "AIM MISSED: 100 ms, 5 % and 200 MB")
    return is_good


def lists(asked: argparse.Namespace, folder: Path) -> bool:
    """Ask a server for lists and for fronts of many studies; return whether the aims are met."""
    begun = time.perf_counter()
    studies = root_of(folder, asked.studies, asked.trials)
    print(f"{len(studies):,} studies written in {time.perf_counter() - begun:.0f} s")
    server = Served(folder).wait()
    addresses = {"list as HTML": "/", "list as JSON": "/api/v1/studies"}
    addresses["overview as JSON"] = "/api/v1/overview"
    begun = time.perf_counter()
    unread = {f"{name}, unread": fetched_ms(server, at) for name, at in addresses.items()}
    while n_unread(server):
        time.sleep(5)
    print(f"all have been read {time.perf_counter() - begun:.0f} s after the first list")
    server.end()
    server.start()
    server.wait()  # another start, which knows what the first one wrote down
    first = {name: fetched_ms(server, address) for name, address in addresses.items()}
    again = {
        name: median(fetched_ms(server, address) for _ in range(5))
        for name, address in addresses.items()
    }
    chosen = random.Random(0).sample(studies, 10)
    fronts: Mapping[str, str] = {
        "front as HTML": "/studies/{}",
        "front as JSON": "/api/v1/studies/{}/front",
        "its columns": "/api/v1/studies/{}/columns",
    }
    found = {**unread, **first}
    for name, ms in unread.items():
        print(f"{name:26} {ms:7.0f} ms")
    for name, ms in first.items():
        print(f"{name:18} {ms:7.0f} ms at first, {again[name]:.0f} ms after")
    for name, address in fronts.items():
        waits = [fetched_ms(server, address.format(paths.study)) for paths in chosen]
        found[name] = max(waits)
        print(f"{name:18} {median(waits):7.0f} ms, at most {max(waits):.0f}, of 10 studies")
    server.end()
    is_good = max(*found.values(), *again.values()) <= AIMS["list_ms"]
    print("aims met" if is_good else "AIM MISSED: 300 ms")
    return is_good


def n_unread(server: Served) -> int:
    """Return how many studies of a list the server has still to read."""
    return sum(study["state"] == "reading" for study in server.ask("GET", "/studies"))


def fetched_ms(server: Served, path: str) -> float:
    """Return the milliseconds until an answer is whole."""
    headers = {"Authorization": f"Bearer {server.token}"}
    request = urllib.request.Request(server.address + path, headers=headers)
    begun = time.perf_counter()
    with urllib.request.urlopen(request, timeout=600) as answer:
        answer.read()
    return 1000 * (time.perf_counter() - begun)


def main() -> int:
    """Measure one of the two; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["load", "list", "clients"])
    parser.add_argument("--pairs", type=int, default=2, help="of runs (default: %(default)s)")
    parser.add_argument("--trials", type=int, help="of a study (default: 10 or 200)")
    parser.add_argument("--clients", type=int, default=50, help="default: %(default)s")
    parser.add_argument("--streams", type=int, default=20, help="default: %(default)s")
    parser.add_argument("--studies", type=int, default=1000, help="default: %(default)s")
    parser.add_argument("--address", help="of the server, for the process of the clients")
    parser.add_argument("--study", help="which one they ask for")
    asked = parser.parse_args()
    if asked.what == "clients":
        ask_as_clients(asked)
        return 0
    asked.trials = asked.trials or {"load": 10, "list": 200}[asked.what]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ARCHFRONT_DEVICE_DB"] = str(Path(folder) / "latency.db")
        root = Path(folder) / "root"
        root.mkdir()
        is_good = (load if asked.what == "load" else lists)(asked, root)
    return 0 if is_good else 1


if __name__ == "__main__":
    raise SystemExit(main())
