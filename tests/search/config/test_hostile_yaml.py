"""Configuration files of somebody else: without an end, too large, or standing for too much."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from archfront.search.config import unfit_yaml
from archfront.search.config.check import Findings, read
from archfront.search.config.compose import compose, load
from archfront.search.config.interpolations import resolved_size
from archfront.search.config.schema import ShapesConfig
from archfront.search.errors import ConfigError
from tests.trainers.test_yaml_text import bomb


def problem(folder: Path, *words: str) -> str:
    with pytest.raises(ConfigError) as caught:
        compose(words, config_dirs=[folder])
    (only,) = caught.value.problems
    return only


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of yaml files with one of its own."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.yaml").write_text("defaults: [folder, _self_]\nroot: /images\n")
    return tmp_path


@pytest.mark.parametrize("name", ["data/bomb.yaml", "deeper/part.yaml"])
class TestFolder:
    """Hydra reads files that no word names, by the lists of defaults of others."""

    def test_a_bomb_is_told_before_hydra_reads_it(self, folder: Path, name: str) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(bomb(12))
        assert problem(folder, "data=mine") == (
            f"--config-dir: {folder / name}: its aliases stand for more than 100,000 values."
        )

    def test_a_pipe_is_not_waited_for(self, folder: Path, name: str) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        os.mkfifo(folder / name)
        assert problem(folder, "data=mine") == (
            f"--config-dir: {folder / name} cannot be read: it is a named pipe, not a file."
        )

    def test_a_device_is_not_read(self, folder: Path, name: str) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).symlink_to("/dev/zero")
        assert "it is a link to /dev/zero, a device, not a file." in problem(folder, "data=mine")


def test_other_files_do_not_disturb(folder: Path) -> None:
    (folder / "notes.yaml").write_text("- {")
    (folder / "anchors.yaml").write_text("a: &a [1]\nb: !own\n  c: *a\n")
    assert compose(["data=mine"], config_dirs=[folder]).content["data"]["root"] == "/images"


def test_a_folder_of_everything_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unfit_yaml, "N_FILES", 1)
    (folder / "one.txt").touch()
    assert problem(folder, "data=mine").startswith(
        f"--config-dir: {folder} has more than 1 files. Give a folder of yaml files"
    )


class TestFile:
    def message(self, path: Path) -> str:
        with pytest.raises(ConfigError) as caught:
            load(path, [])
        return str(caught.value)

    def test_a_bomb_gets_one_line(self, tmp_path: Path) -> None:
        file = tmp_path / "bomb.yaml"
        file.write_text(bomb(12))
        expected = "its aliases stand for more than 100,000 values"
        assert self.message(file) == f"--config: {file} cannot be read: {expected}."

    def test_a_pipe_and_a_large_file_get_one_line(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe.yaml")
        assert self.message(tmp_path / "pipe.yaml").endswith("it is a named pipe, not a file.")
        with (tmp_path / "large.yaml").open("wb") as file:
            file.truncate(10**9)
        assert self.message(tmp_path / "large.yaml").endswith(
            "it has 1,000.0 MB; at most 1 MB of such a file are read."
        )

    def test_a_value_is_quoted_in_one_line(self, tmp_path: Path) -> None:
        file = tmp_path / "list.yaml"
        file.write_text("".join(f"- {'x' * 10}{number}\n" for number in range(1000)))
        message = self.message(file)
        assert len(message) < 300 + len(str(file))
        assert "\n" not in message
        assert "got ['xxxxxxxxxx0', 'xxxxxxxxxx1'," in message


class TestReferences:
    def test_references_to_references_are_counted_before_they_are_written_out(
        self, folder: Path
    ) -> None:
        levels = "".join(f"a{n}: ${{data.a{n - 1}}}${{data.a{n - 1}}}\n" for n in range(1, 40))
        (folder / "data" / "mine.yaml").write_text(
            f"a0: xxxxxxxxxx\n{levels}root: ${{data.a39}}\n"
        )
        assert problem(folder, "data=mine") == (
            "The yaml files do not compose: what their ${...} stand for has more than 1,000,000 "
            "characters."
        )

    @pytest.mark.parametrize(
        ("content", "size"),
        [
            ({"a": "xxxx", "b": "${a}${a}"}, 1 + 4 + 8 + 8),
            ({"a": {"b": "xxxx", "c": "${.b}"}}, 1 + 1 + 4 + 5 + 4),
            ({"a": {"b": ["xx"], "c": "${..a.b[0]}"}}, 1 + 1 + 1 + 2 + 11 + 2),
            ({"a": "${b}", "b": "${a}"}, 1 + (4 + 4) + 4),
            ({"a": "${oc.env:HOME}"}, 1 + 14 + 1000),
            ({"a": "${none}", 1: [True, None]}, 1 + 7 + 1 + 1 + 1 + 1),
        ],
    )
    def test_a_reference_counts_what_it_names(self, content: dict[str, Any], size: int) -> None:
        assert resolved_size(content) == size


def test_an_option_quotes_its_value_in_one_line() -> None:
    findings = Findings()
    read(ShapesConfig, {"images": [["x\n" * 50] * 50]}, findings)
    (about,) = (one for one in findings.problems if one.startswith("images: "))
    assert len(about) < 300
    assert "\n" not in about
