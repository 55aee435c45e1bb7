"""Programs run in processes of their own, forked from one that has imported the slow libraries.

A program that imports torch or MLflow waits seconds for it. A server imports them once and forks a
process for each program, which ends with it: no program sees what another one imported.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

SERVER = """
import importlib, json, os, runpy, sys, tempfile, traceback

def perform(asked):
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(asked["folder"])
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

answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
for name in sys.argv[1:]:
    importlib.import_module(name)
for line in sys.stdin:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            status = status_of(json.loads(line))
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
        _, ended = os.waitpid(child, 0)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode())
    print(json.dumps([os.waitstatus_to_exitcode(ended), *texts]), file=answers, flush=True)
"""


class Programs:
    """Servers, one for each set of libraries that is imported before the programs start."""

    def __init__(self) -> None:
        self._servers: dict[tuple[str, ...], subprocess.Popen[str]] = {}

    def run(
        self, program: str | Path, *words: str, imports: tuple[str, ...], folder: Path = Path("/")
    ) -> str:
        """Return what a program prints that ends well and sees nothing of this repository.

        Args:
            program: Its file, or its text.
            words: Its arguments.
            imports: Modules that are imported before it starts.
            folder: Where it runs.
        """
        is_file = isinstance(program, Path)
        asked = {
            "words": [str(program) if is_file else "-c", *words],
            "code": None if is_file else program,
            "folder": str(folder),
        }
        server = self._server(imports)
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(json.dumps(asked) + "\n")
        server.stdin.flush()
        status, out, err = json.loads(server.stdout.readline())
        assert status == 0, err
        return str(out)

    def _server(self, imports: tuple[str, ...]) -> subprocess.Popen[str]:
        if imports not in self._servers:
            environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
            self._servers[imports] = subprocess.Popen(
                [sys.executable, "-c", SERVER, *imports],
                env={**environment, "HF_HUB_OFFLINE": "1"},
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
