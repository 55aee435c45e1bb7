"""Videos torn apart by a split are found, however their frames are called."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from archfront.search.profile.make_profile import Title, make_profile
from archfront.trainers.data.raw import RawData, RawSample
from archfront.trainers.data.targets import Mask, Objects, TargetKind
from tests.support.drawn_images import REF
from tests.support.textured_images import fault_of, frames, profiled, ref_of, save, textured


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


def shown_as(target: TargetKind, label: int) -> Objects | Mask:
    """Return one object of a class, or its mask."""
    if target == "mask":
        indices = np.zeros((48, 48), np.uint8)
        indices[10:40, 10:40] = label
        return Mask(indices)
    box = np.array([[10, 10, 40, 40]], np.float32)
    return Objects(box, np.array([label]), np.zeros(1, np.bool_))


@pytest.mark.parametrize("target", ["boxes", "mask"])
def test_images_named_by_what_they_show_are_no_videos(target: TargetKind) -> None:
    """Images of different classes were compared as if they showed the same."""
    kinds = ("ground", "strawberry", "lime", "blueberry")
    tints = {1: (90, -40, -40), 2: (-30, 80, -50), 3: (-60, -40, 90)}
    samples = [
        RawSample(
            (textured(100 * label + number) * 0.4 + 80 + tint).clip(0, 255).astype(np.uint8),
            shown_as(target, label),
            f"{kinds[label]}_{number}.png",
        )
        for label, tint in tints.items()
        for number in range(20)
    ]
    ref = replace(REF, target=target)
    raw = RawData("some data", kinds, {"all": tuple(samples)})
    faults = make_profile(ref, raw, Title("detection", "some data", "0")).faults
    assert "groups torn apart" not in [fault.kind for fault in faults]


def test_videos_with_objects_are_told() -> None:
    samples = [
        RawSample(frame, shown_as("boxes", video % 2), f"clip{video}_{number}.png")
        for video in range(8)
        for number, frame in enumerate(frames(video, 8))
    ]
    raw = RawData("some data", ("a", "b"), {"all": tuple(samples)})
    profile = make_profile(replace(REF, target="boxes"), raw, Title("detection", "data", "0"))
    assert "data.group=stem" in fault_of(profile, "groups torn apart").remedy
