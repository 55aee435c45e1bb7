"""What goes to a server and comes from one: images, and exports as archives."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from archfront.search.api.given_images import given_images
from archfront.search.api.remote_files import image_bytes, unpacked
from archfront.search.errors import ArtifactError, ConfigError


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Return the archive of an export with two files."""
    file = tmp_path / "export.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as written:
        written.writestr("knee/manifest.json", "new" * 100)
        written.writestr("knee/onnx/model.onnx", bytes(range(256)) * 9)
    return file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of an export that is there already."""
    folder = tmp_path / "out" / "knee"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("old")
    return folder


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.uint8(3), r"got uint8 of shape \(\)"),
        (np.array(3, np.uint8), r"got uint8 of shape \(\)"),
        (np.zeros(3, np.uint8), r"got uint8 of shape \(3,\)"),
        (np.zeros((0, 3, 3), np.uint8), r"got uint8 of shape \(0, 3, 3\)"),
        (np.zeros((2, 3, 3, 3), np.uint8), r"got uint8 of shape \(2, 3, 3, 3\)"),
        (np.zeros((3, 3)), r"got float64 of shape \(3, 3\)"),
        (torch.ones(3, 3, requires_grad=True), "values of a Tensor cannot be read"),
        (3, "the bytes of a file, .* got int"),
    ],
)
def test_what_is_no_image_is_named(value: Any, said: str) -> None:
    """A single number was a traceback, and a row of numbers was sent as an image."""
    with pytest.raises(ConfigError, match=f"^images: .*{said}"):
        image_bytes(value)


def test_values_that_cannot_be_read_are_named() -> None:
    with pytest.raises(ConfigError, match=r"values of a Tensor .* tensor\.detach\(\)"):
        given_images(torch.ones(2, 3, 3, 3, requires_grad=True))


def test_an_export_replaces_the_one_that_is_there(archive: Path, folder: Path) -> None:
    (folder / "left.txt").write_text("of the old one")
    assert unpacked(archive, folder) == folder
    found = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    assert found == {"manifest.json", "onnx/model.onnx"}
    assert list(folder.parent.iterdir()) == [folder]


@pytest.mark.parametrize("damage", ["cut", "changed", "nothing"])
def test_a_damaged_archive_leaves_what_is_there(archive: Path, folder: Path, damage: str) -> None:
    """It was a traceback, after the export that was to be replaced had been removed."""
    content = archive.read_bytes()
    at = content.index(b"model.onnx") + 20
    archive.write_bytes(
        {
            "cut": content[: len(content) // 2],
            "changed": content[:at] + bytes(50) + content[at + 50 :],
            "nothing": b"",
        }[damage]
    )
    with pytest.raises(ArtifactError, match=r"from the server is damaged \(.*Ask for it again"):
        unpacked(archive, folder)
    assert [file.name for file in folder.parent.rglob("*")] == ["knee", "manifest.json"]
    assert (folder / "manifest.json").read_text() == "old"


def test_a_name_that_leads_out_leaves_what_is_there(tmp_path: Path, folder: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as written:
        written.writestr("knee/../../away", "x")
    with pytest.raises(ArtifactError, match="a name that leads out of it"):
        unpacked(tmp_path / "bad.zip", folder)
    assert (folder / "manifest.json").read_text() == "old"
