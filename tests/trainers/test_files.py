"""Paths as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from archfront.trainers.files import plain_path


@pytest.fixture(autouse=True)
def _inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "inside").mkdir()
    monkeypatch.chdir(tmp_path / "inside")


@pytest.mark.parametrize("words", ["../x", "y/../../x", "./../x", "y/.././../x"])
def test_a_path_of_two_points_is_that_of_its_folder(tmp_path: Path, words: str) -> None:
    assert plain_path(words) == tmp_path / "x"


def test_two_points_behind_a_link_lead_above_its_target(tmp_path: Path) -> None:
    (tmp_path / "far" / "data").mkdir(parents=True)
    (tmp_path / "inside" / "link").symlink_to(tmp_path / "far" / "data")
    (tmp_path / "far" / "found").touch()
    assert plain_path("link/../found") == tmp_path / "far" / "found"
    assert plain_path("link/found") == tmp_path / "inside" / "link" / "found"


def test_a_user_without_a_home_folder_stays_as_written(tmp_path: Path) -> None:
    assert plain_path("~no such user/x") == tmp_path / "inside" / "~no such user" / "x"
