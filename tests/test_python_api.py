"""``import archfront``: what it loads, beside whose packages, and the examples of its page."""

from __future__ import annotations

import ast
import inspect
import os
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import archfront as af
from archfront.search.api.client import RemoteStudy
from tests.support import foreign_packages, forked, recorded_store
from tests.support.command import Output
from tests.support.drawn_images import draw_folder
from tests.support.own_processes import ROOT, TINY, ran

PAGE = ROOT / "docs" / "python.md"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, without the variables of whoever runs the tests."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("ARCHFRONT_DEVICE_DB", str(tmp_path / "latency.db"))
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path / "matplotlib"))
    for name in ("ARCHFRONT_ROOT", "ARCHFRONT_STORAGE_URL"):
        monkeypatch.delenv(name, raising=False)
    return folder


class TestPackage:
    def test_importing_it_loads_nothing_else(self) -> None:
        """Its names are loaded when they are used first."""
        program = (
            "import sys; before = set(sys.modules); import archfront; "
            "print([n for n in set(sys.modules) - before if n.startswith('archfront.')]); "
            "print({'torch', 'pandas', 'numpy', 'mlflow', 'hydra', 'rich'} & set(sys.modules)); "
            "print(dir(archfront))"
        )
        shown = ran([sys.executable, "-c", program], {}).splitlines()
        assert shown[:2] == ["[]", "set()"]
        assert {"run", "open", "profile", "Study", "Member", "ArchfrontError"} <= set(
            eval(shown[2])
        )

    def test_its_names_are_those_it_lists(self) -> None:
        assert all(getattr(af, name).__doc__ for name in af.__all__)
        assert set(af.__all__) <= set(dir(af))
        with pytest.raises(AttributeError, match="module 'archfront' has no attribute 'rum'"):
            af.rum  # noqa: B018

    def test_opening_a_study_loads_nothing_heavy(self, tmp_path: Path) -> None:
        recorded_store.write(tmp_path)
        program = (
            "import sys, archfront as af; study = af.open('flowers', root=sys.argv[1]); "
            "repr(study); study.front; study.plot(); "
            "print({'torch', 'mlflow', 'hydra', 'timm', 'sklearn'} & set(sys.modules))"
        )
        command = [sys.executable, "-c", program, str(tmp_path)]
        assert ran(command, {}) == "set()\n"

    def test_every_error_is_an_archfront_error(self) -> None:
        with pytest.raises(af.ArchfrontError, match=r"There is no study 'roses' in .*mlruns\."):
            af.open("roses")
        with pytest.raises(af.ArchfrontError, match="seed: a whole number"):
            af.run("seed=x", {"data": "digits"})


@pytest.mark.slow
def test_a_users_own_packages_disturb_neither_the_package_nor_the_command(tmp_path: Path) -> None:
    """Nor workers: the documents' first run in small starts its own beside such packages."""
    foreign = foreign_packages.write(tmp_path / "own code")
    environment = {"PYTHONPATH": f"{foreign}{os.pathsep}{ROOT}"}
    ran([sys.executable, "-c", "import archfront; archfront.run"], environment, foreign)
    shown = ran([*command(), "run", "experiment=digits", "--cfg", "job"], environment, foreign)
    assert shown.startswith("study: digits\nseed: 0\n")


def command() -> list[str]:
    return [sys.executable, "-m", "archfront.search.cli"]


def examples() -> list[str]:
    """Return the programs of the page, in their order, without those that ask a server."""
    programs = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    return [program for program in programs if "af.Client(" not in program]


def test_the_calls_on_a_server_are_those_of_the_client() -> None:
    text = PAGE.read_text(encoding="utf-8")
    (program,) = re.findall(r"^```python\n([^`]*af\.Client\([^`]*)^```", text, re.M)
    kinds: dict[str, type] = {"server": af.Client, "study": RemoteStudy}
    called = set()
    for node in ast.walk(ast.parse(program)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            of, name = node.func.value, node.func.attr
            if isinstance(of, ast.Name) and of.id in kinds:
                words = {str(word.arg): None for word in node.keywords}
                call = getattr(kinds[of.id], name)
                inspect.signature(call).bind(None, *node.args, **words)
                called.add(name)
    assert {"run", "refit", "export", "predict"} <= called


@pytest.mark.slow
def test_the_examples_of_the_page_run(here: Path, capsys: Output) -> None:
    """They run one after the other, as a reader of the page runs them, in small."""
    draw_folder(here / "photos", {"daisy": 12, "rose": 12})
    Image.fromarray(np.zeros((40, 30, 3), np.uint8)).save(here / "photo.jpg")
    small = [word for word in TINY if not word.startswith(("experiment", "data", "budget"))]
    small.append("space.weights=none")
    names: dict[str, Any] = {}
    programs = examples()
    assert len(programs) >= 4
    with forked.workers():
        for program in programs:
            exec(compile(in_small(program, small), str(PAGE), "exec"), names)
    assert names["study"].state == "finished"
    assert (here / "knee" / "manifest.json").is_file()


def in_small(program: str, words: list[str]) -> str:
    """Return a program whose studies and trainings are as small as they get."""
    more = ", ".join(map(repr, [*words, "budget.trials=1", "hardware.limits.latency_ms=null"]))
    program = re.sub(r"af\.run\((.*?)\)\n", rf"af.run(\1, {more})\n", program, flags=re.S)
    return program.replace("epochs=60", "epochs=1").replace("seeds=5", "seeds=1")
