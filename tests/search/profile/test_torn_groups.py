"""Videos torn apart by a split are found, however their frames are called."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.textured_images import fault_of, frames, profiled, ref_of, save


def exported(name: str) -> str:
    """Return a name as Roboflow exports it, with a hash of its own."""
    return f"{name}_png.rf.{hashlib.md5(name.encode()).hexdigest()}.png"


@pytest.mark.parametrize(
    "names",
    [
        ("cat/frame_{:04d}", "dog/frame_{:04d}"),
        ("a/cam1/{:06d}", "b/cam2/{:06d}"),
        ("cat/cat_{:04d}", "dog/dog_{:04d}"),
    ],
)
@pytest.mark.parametrize("is_exported", [False, True])
def test_one_video_in_each_folder_is_a_counter_of_its_own(
    tmp_path: Path, names: tuple[str, str], is_exported: bool
) -> None:
    """Counters of all folders were one, in which the frames of two videos alternate."""
    for video, pattern in enumerate(names):
        scenes = [frame for scene in range(3) for frame in frames(10 * video + scene, 10)]
        for number, frame in enumerate(scenes):
            folder, _, name = pattern.format(number).rpartition("/")
            name = exported(name) if is_exported else f"{name}.png"
            save(tmp_path / folder / name, frame)
    fault = fault_of(profiled(ref_of(tmp_path)), "groups torn apart")
    assert "numbered one after the other" in fault.text
    for group in fault.groups:
        assert len({Path(ref.name).parent for ref in group}) == 1


def test_the_hash_of_an_export_is_no_number_of_a_frame(tmp_path: Path) -> None:
    """Of names of Roboflow the last number was one of the hash; the advice keeps videos whole."""
    for video in range(8):
        for number, frame in enumerate(frames(video, 8)):
            save(tmp_path / "ab"[video % 2] / exported(f"clip-{video}-{number}"), frame)
    ref = ref_of(tmp_path)
    fault = fault_of(profiled(ref), "groups torn apart")
    assert "of 8 groups by name" in fault.text
    assert "data.group=stem" in fault.remedy
    assert profiled(replace(ref, group="stem")).faults == ()
