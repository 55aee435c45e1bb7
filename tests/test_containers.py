"""The files of containers, as far as they can be read without a container."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

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
    assert f"archfront:{given}@database" in compose["x-database"]
    assert compose["services"]["database"]["environment"]["POSTGRES_PASSWORD"] == given
