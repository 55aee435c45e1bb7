"""The files of containers: read, and where Docker runs, built and started."""

from __future__ import annotations

import json
import os
import re
import secrets
import shlex
import shutil
import socket
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from configparser import ConfigParser
from functools import partial
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
import yaml

from archfront.search.cli import VERBS, _parser

ROOT = Path(__file__).resolve().parent.parent
INSTRUCTIONS = [
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "RUN",
    "USER",
    "VOLUME",
    "WORKDIR",
]


def instructions() -> list[tuple[str, str]]:
    """Return the instructions of the Dockerfile with what follows each."""
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if line.strip() and not line.startswith("#"))
    joined = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in joined)]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    return content


def takes(words: list[str]) -> None:
    """Check that archfront takes the words of a command."""
    verb, *others = words
    assert verb in VERBS
    _parser(verb).parse_args(others)


def test_the_image_runs_archfront_as_an_ordinary_user() -> None:
    found = instructions()
    assert {name for name, _ in found} <= set(INSTRUCTIONS)
    names = [name for name, _ in found]
    assert names[0] == "FROM"
    assert names.index("USER") < names.index("ENTRYPOINT")
    last = dict(found)
    assert last["USER"] == "archfront"
    assert json.loads(last["ENTRYPOINT"]) == ["archfront"]
    takes(json.loads(last["CMD"]))
    assert json.loads(last["HEALTHCHECK"].partition("CMD ")[2])[0] == "python"


def test_the_image_installs_pinned_versions_and_known_extras() -> None:
    (install,) = (rest for name, rest in instructions() if "pip install" in rest)
    words = shlex.split(install)
    assert (ROOT / words[words.index("--constraint") + 1]).is_file()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = re.findall(r"\.\[(.*)\]", words[-1])[0].split(",")
    assert set(extras) <= set(project["optional-dependencies"])


def test_containers_start_what_there_is(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert set(services) == {"server", "mlflow", "database"}
    for name in ("server", "mlflow"):
        takes([str(word) for word in services[name]["command"]])
        assert set(services[name]["depends_on"]) <= set(services)


def test_each_container_is_asked_at_its_own_port(compose: dict[str, Any]) -> None:
    asked = [rest for name, rest in instructions() if name == "HEALTHCHECK"]
    asked.append(" ".join(compose["services"]["mlflow"]["healthcheck"]["test"]))
    inside = [
        compose["services"][name]["ports"][0].split(":")[-1] for name in ("server", "mlflow")
    ]
    for text, port in zip(asked, inside, strict=True):
        assert f"http://127.0.0.1:{port}/" in text


def test_the_image_has_neither_passwords_nor_images_of_people_in_it() -> None:
    left_out = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert {".env", "data", ".git", "mlruns"} <= set(left_out)


def test_containers_show_themselves_to_this_machine_alone(compose: dict[str, Any]) -> None:
    ports = [port for service in compose["services"].values() for port in service.get("ports", ())]
    assert len(ports) == 2
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_containers_keep_what_is_theirs_in_volumes(compose: dict[str, Any]) -> None:
    mounts = [m for service in compose["services"].values() for m in service["volumes"]]
    named = {mount.split(":")[0] for mount in mounts if mount[0] not in "./$"}
    assert named == set(compose["volumes"])


def test_no_password_stands_in_the_file(compose: dict[str, Any]) -> None:
    given = "${POSTGRES_PASSWORD:?set it in .env}"
    assert f"archfront:{given}@database" in compose["x-database"]["ARCHFRONT_STORAGE_URL"]
    for name in ("server", "mlflow"):  # where no list of processes shows it
        assert compose["services"][name]["environment"] == compose["x-database"]
        assert given not in str(compose["services"][name]["command"])
    assert compose["services"]["database"]["environment"]["POSTGRES_PASSWORD"] == given


def test_the_unit_of_systemd_starts_what_there_is() -> None:
    text = (ROOT / "docs/service.md").read_text(encoding="utf-8")
    unit = ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string("[Unit]" + text.partition("```\n[Unit]")[2].partition("```")[0])
    assert unit.sections() == ["Unit", "Service", "Install"]
    program, *words = shlex.split(unit["Service"]["ExecStart"])
    assert program.endswith("/bin/archfront")
    takes(words)
    variables = dict(word.split("=", 1) for word in shlex.split(unit["Service"]["Environment"]))
    # What the server remembers is within the root, of which copies are made.
    assert variables["XDG_CACHE_HOME"].startswith(variables["ARCHFRONT_ROOT"])
    assert unit["Service"]["KillMode"] == "process"


def docker(*words: str, **variables: str) -> str:
    """Return what a command of Docker prints.

    Args:
        words: The command.
        variables: Of its environment, beside those of the tests.
    """
    ended = subprocess.run(
        ["docker", *words],
        cwd=ROOT,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, f"docker {shlex.join(words)}: {ended.stdout}{ended.stderr}"
    return ended.stdout


@pytest.fixture
def composed(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Give ``docker compose`` for containers of their own, which are removed in the end."""
    if shutil.which("docker") is None:
        pytest.skip("Docker is not installed")
    for words in (["compose", "version"], ["info"]):
        asked = subprocess.run(["docker", *words], capture_output=True, text=True, check=False)
        if asked.returncode != 0:
            said = (asked.stderr or asked.stdout).strip().splitlines()[-1:]
            pytest.skip(f"docker {words[0]}: {' '.join(said)}")
    ports = []
    for _ in range(2):
        with socket.create_server(("127.0.0.1", 0)) as free:
            ports.append(str(free.getsockname()[1]))
    (tmp_path / "data").mkdir()
    given = {"PORT": ports[0], "MLFLOW_PORT": ports[1], "DATA": str(tmp_path / "data")}
    given |= {"POSTGRES_PASSWORD": secrets.token_hex(16), "COMPOSE_PROJECT_NAME": "archfront-test"}
    try:
        yield partial(docker, "compose", **given)
    finally:
        docker("compose", "down", "--volumes", "--remove-orphans", **given)


@pytest.mark.slow
def test_the_containers_are_built_started_and_started_again(
    composed: Callable[..., str],
) -> None:
    def ask(service: str, inside: int, path: str, token: str = "") -> Any:
        address = composed("port", service, str(inside)).strip()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        with urlopen(Request(f"http://{address}/{path}", headers=headers)) as answer:
            return answer.read()

    composed("build")
    composed("up", "--detach", "--wait")  # until each of them is healthy
    said = composed("logs", "--no-color", "server")
    (token,) = re.findall(r"/login#(\S+)", said)
    assert "http://127.0.0.1:8000/login#" in said
    assert json.loads(ask("server", 8000, "api/v1/studies", token)) == []
    assert ask("mlflow", 5000, "health") == b"OK"
    for name in ("server", "mlflow"):
        assert composed("exec", "-T", name, "id", "--user", "--name").strip() == "archfront"
        assert composed("exec", "-T", name, "ls", "-A", "/opt/archfront").find(".env") < 0
    composed("exec", "-T", "server", "archfront", "list")
    composed("restart", "server")
    composed("up", "--detach", "--wait")
    # Tokens and studies are in the database, which is as it was.
    assert json.loads(ask("server", 8000, "api/v1/studies", token)) == []
