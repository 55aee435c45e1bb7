"""The profile of a study's data: remembered, made if that is quick, else left away."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from archfront.search.config.build import build
from archfront.search.config.schema import Config
from archfront.search.prepare.study_profile import keep_profile, study_profile
from archfront.search.profile.dataset_profile import READ, VERSION
from archfront.search.profile.profile_cache import read_profile
from archfront.trainers.errors import DataError
from tests.support.configurations import changed
from tests.support.textured_images import clean_folder


def config_of(root: Path, **leaves: Any) -> Config:
    data = {"data__reader": "folder", "data__root": str(root), "data__train": 0.5}
    data |= {"data__val": 0.25, "data__test": 0.25}
    database = str(root.parent / "latency.db")
    return build(changed(**data, tracking__device_db=database, **leaves))


def test_a_small_dataset_is_looked_at_and_kept(tmp_path: Path) -> None:
    clean_folder(tmp_path / "data", n=8)
    file = tmp_path / "profile.json"
    keep_profile(config_of(tmp_path / "data"), file)
    profile = read_profile(file)
    assert profile is not None
    assert profile.n_images == 16
    assert profile.task == "classification"


def test_what_takes_too_long_is_left_away_unless_it_is_remembered(tmp_path: Path) -> None:
    clean_folder(tmp_path / "data", n=40)
    config = config_of(tmp_path / "data")
    assert study_profile(config, most_s=0) is None
    made = study_profile(config)
    assert made is not None
    assert study_profile(config, most_s=0) == made


def test_objects_are_told_at_the_sizes_of_the_study(tmp_path: Path) -> None:
    from archfront.search.commands.run import config_of as composed

    words = ["task=detection", "data=shapes", "data.shapes.images=20", "space.input_sizes=[64,96]"]
    words.append(f"tracking.device_db={tmp_path / 'latency.db'}")
    profile = study_profile(composed(words))
    assert profile is not None
    assert profile.objects is not None
    assert [at.input_size for at in profile.objects.at_sizes] == [64, 96]


@pytest.mark.parametrize(("tiles", "tile"), [("null", None), ("32", 32)])
def test_objects_are_told_in_tiles_where_images_are_cut(
    tmp_path: Path, tiles: str, tile: int | None
) -> None:
    from archfront.search.commands.run import config_of as composed

    words = ["task=detection", "data=shapes", "data.shapes.images=20", f"data.tiles={tiles}"]
    words += ["space.input_sizes=[64]", f"tracking.device_db={tmp_path / 'latency.db'}"]
    profile = study_profile(composed(words))
    assert profile is not None
    objects = profile.objects
    assert objects is not None
    (at,) = objects.at_sizes
    share = objects.side_px.p50 / (tile or 64)
    assert at.p50 == pytest.approx(share * 64 / at.stride, rel=0.01)


def test_no_file_is_no_profile_and_a_damaged_one_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "profile.json"
    assert read_profile(file) is None
    file.write_text(json.dumps({"version": min(READ) - 1}))
    assert read_profile(file) is None
    for content in ("{", "[]", json.dumps({"version": VERSION})):
        file.write_text(content)
        with pytest.raises(DataError, match=r"cannot be read|holds no profile"):
            read_profile(file)
