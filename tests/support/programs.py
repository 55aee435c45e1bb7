"""Programs run in processes of their own, forked from one that has imported the slow libraries.

A program that imports torch or MLflow waits seconds for it. A server imports them once and forks a
process for each program, which ends with it: no program sees what another one imported. What must
not be loaded by a program must not be among what its server imports. A server that imports what
another one does and more is forked from that one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# What checks of imports may share: several verbs import it, and none of it is heavy.
LIGHT = ("archfront.search.cli", "numpy", "optuna", "hydra.compose")
# torch with what it imports when it loads a network, and transformers with what it does for a
# network of timm's.
TORCH = ("torch", "torch._dynamo")
TRANSFORMERS = (*TORCH, "transformers.models.timm_wrapper.modeling_timm_wrapper")
MLFLOW = ("mlflow",)
SCORING = (*MLFLOW, "mlflow.pyfunc.scoring_server", "pandas")
# What servers of more are forked from.
BASES = (TORCH, MLFLOW)
SERVER = """# of tests.support.programs
import gc, importlib, json, os, runpy, socket, sys, tempfile, traceback

def load(modules):
    gc.disable()
    for name in modules:
        importlib.import_module(name)
    gc.freeze()
    gc.enable()

def perform(asked):
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(asked["folder"])
    os.environ.update(asked["environment"])
    sys.path[1:1] = asked["path"]
    sys.argv = asked["words"]
    if asked["code"] is None:
        runpy.run_path(sys.argv[0], run_name="__main__")
    else:
        exec(compile(asked["code"], "program", "exec"), {"__name__": "__main__"})

def status_of(asked):
    try:
        perform(asked)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0

def run(asked):
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            status = status_of(asked)
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
        _, ended = os.waitpid(child, 0)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode())
    return json.dumps([os.waitstatus_to_exitcode(ended), *texts])

def server_of(modules):
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        ours.close()
        load(modules)
        serve(theirs.makefile("r"), theirs.makefile("w"))
        os._exit(0)
    theirs.close()
    return ours.makefile("w"), ours.makefile("r")

def serve(lines, answers):
    servers = {}
    for line in lines:
        asked = json.loads(line)
        more = tuple(asked["more"])
        if more and more not in servers:
            servers[more] = server_of(more)
        if more:
            there, back = servers[more]
            print(json.dumps({**asked, "more": []}), file=there, flush=True)
            answer = back.readline().rstrip()
        else:
            answer = run(asked)
        print(answer, file=answers, flush=True)

answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
load(sys.argv[1:])
serve(sys.stdin, answers)
os._exit(0)  # what it imported would take itself apart for a second
"""


class Programs:
    """Servers, one for each set of libraries that is imported before the programs start."""

    def __init__(self) -> None:
        self._servers: dict[tuple[str, ...], subprocess.Popen[str]] = {}

    def run(
        self,
        program: str | Path,
        *words: str,
        imports: tuple[str, ...],
        folder: Path = Path("/"),
        environment: Mapping[str, str] | None = None,
        sees_repository: bool = False,
    ) -> str:
        """Return what a program prints that ends well.

        Args:
            program: Its file, or its text.
            words: Its arguments.
            imports: Modules that are imported before it starts.
            folder: Where it runs.
            environment: Variables that it has beside those of the tests.
            sees_repository: Whether it imports the package from this repository.
        """
        base = next((known for known in BASES if imports[: len(known)] == known), imports)
        is_file, path = isinstance(program, Path), [str(ROOT)] if sees_repository else []
        asked = {
            "words": [str(program) if is_file else "-c", *words],
            "code": None if is_file else program,
            "folder": str(folder),
            "environment": {**(environment or {}), **({"PYTHONPATH": path[0]} if path else {})},
            "path": path,
            "more": imports[len(base) :],
        }
        server = self._server(base)
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(json.dumps(asked) + "\n")
        server.stdin.flush()
        status, out, err = json.loads(server.stdout.readline())
        assert status == 0, err
        return str(out)

    def _server(self, imports: tuple[str, ...]) -> subprocess.Popen[str]:
        if imports not in self._servers:
            # matplotlib's folder is set by the package, where a test ran it in this process.
            others = {"PYTHONPATH", "MPLCONFIGDIR"}
            environment = {k: v for k, v in os.environ.items() if k not in others}
            environment["HF_HUB_OFFLINE"] = "1"
            if any(name.startswith("archfront.") for name in imports):
                environment["PYTHONPATH"] = str(ROOT)
            self._servers[imports] = subprocess.Popen(
                [sys.executable, "-c", SERVER, *imports],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd="/",
            )
        return self._servers[imports]

    def close(self) -> None:
        """End the servers."""
        for server in self._servers.values():
            server.communicate()
