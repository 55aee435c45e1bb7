"""Exports that are damaged, or that somebody changed, are refused before they are opened."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from archfront.search.errors import ArtifactError
from archfront.search.export.export_request import ExportRequest
from archfront.search.export.ship import export_member
from archfront.search.formats.formats import FORMATS
from archfront.search.predict.manifest import (
    MANIFEST,
    Manifest,
    find_artifact,
    read_manifest,
    sha256_of,
    write_manifest,
)
from archfront.search.predict.openers import check_archive
from archfront.search.predict.predictor import open_predictor
from tests.support import small_member
from tests.support.shared_exports import SharedExports


@pytest.fixture
def copied(exports: SharedExports, tmp_path: Path) -> Path:
    """Return a copy of an export that may be damaged."""
    import shutil

    return Path(shutil.copytree(exports.served("classification"), tmp_path / "export"))


class TestDamage:
    def test_a_damaged_file_is_not_opened(self, copied: Path) -> None:
        file = copied / "onnx" / "model.onnx"
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
        expected = r"is not the file that was exported: its SHA-256 is .* damaged or exchanged"
        with pytest.raises(ArtifactError, match=expected):
            open_predictor(copied, "onnx")
        open_predictor(copied, "openvino")

    def test_a_missing_file_is_named(self, copied: Path) -> None:
        (copied / "openvino" / "model.bin").unlink()
        with pytest.raises(ArtifactError, match=r"model\.bin is missing\. Export the model again"):
            open_predictor(copied, "openvino")

    @pytest.mark.parametrize("name", ["onnx", "openvino", "torch-export"])
    def test_a_foreign_file_with_a_matching_checksum_gets_one_error(
        self, copied: Path, name: str
    ) -> None:
        manifest = read_manifest(copied)
        artifact = manifest.artifacts[name]
        (copied / artifact.file).write_bytes(b"something else")
        rewrite(copied, manifest, name)
        with pytest.raises(ArtifactError, match=r"cannot be opened|is no archive of torch.export"):
            open_predictor(copied, name)

    def test_a_file_without_a_manifest_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "model.onnx").write_bytes(b"x")
        with pytest.raises(ArtifactError, match=r"has no manifest\.json beside or above it"):
            open_predictor(tmp_path / "model.onnx")

    def test_a_file_beside_the_manifest_that_it_does_not_know_is_refused(
        self, copied: Path
    ) -> None:
        (copied / "other.onnx").write_bytes(b"x")
        with pytest.raises(ArtifactError, match=r"other\.onnx is no artifact of .*onnx"):
            open_predictor(copied / "other.onnx")

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("{", "Expecting property name"),
            ("[]", "it is no manifest of archfront-export/1"),
            ('{"schema": "other/2"}', "it is no manifest of archfront-export/1"),
            ('{"schema": "archfront-export/1"}', "it has no study, trial"),
        ],
    )
    def test_a_foreign_manifest_gets_one_error(self, copied: Path, text: str, reason: str) -> None:
        (copied / MANIFEST).write_text(text)
        with pytest.raises(ArtifactError, match=reason):
            read_manifest(copied)

    @pytest.mark.parametrize(
        ("field", "value", "reason"),
        [
            ("task", "poetry", "its task 'poetry' is not known here"),
            ("preprocess", {"input_size": 3}, "its content does not fit"),
            ("artifacts", {"onnx": {}}, "its content does not fit"),
            ("artifacts", [], "its content does not fit"),
        ],
    )
    def test_a_manifest_with_wrong_content_gets_one_error(
        self, copied: Path, field: str, value: object, reason: str
    ) -> None:
        content = json.loads((copied / MANIFEST).read_text())
        (copied / MANIFEST).write_text(json.dumps({**content, field: value}))
        with pytest.raises(ArtifactError, match=reason):
            read_manifest(copied)

    def test_a_manifest_cannot_name_files_elsewhere(self, copied: Path) -> None:
        manifest = read_manifest(copied)
        artifact = replace(manifest.artifacts["onnx"], files={"../weights.safetensors": "0"})
        write_manifest(replace(manifest, artifacts={"onnx": artifact}), copied)
        with pytest.raises(ArtifactError, match=r"which is outside of"):
            open_predictor(copied, "onnx")

    def test_a_file_without_a_checksum_is_not_opened(self, copied: Path) -> None:
        manifest = read_manifest(copied)
        artifact = replace(manifest.artifacts["onnx"], files={})
        write_manifest(replace(manifest, artifacts={"onnx": artifact}), copied)
        with pytest.raises(ArtifactError, match=r"has no checksum of onnx/model\.onnx"):
            open_predictor(copied, "onnx")

    @pytest.mark.parametrize("name", ["onnx", "openvino"])
    @pytest.mark.parametrize("stray", ["weights.bin", "deeper/weights.bin"])
    def test_a_file_that_the_manifest_does_not_list_is_named(
        self, copied: Path, name: str, stray: str
    ) -> None:
        file = copied / name / stray
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"")
        with pytest.raises(
            ArtifactError, match=rf"{file} is not in {copied / MANIFEST}: .* Remove"
        ):
            open_predictor(copied, name)
        file.unlink()
        open_predictor(copied, name)

    def test_a_link_to_a_folder_is_no_file_of_an_export(
        self, copied: Path, tmp_path: Path
    ) -> None:
        (copied / "onnx" / "more").symlink_to(tmp_path, target_is_directory=True)
        with pytest.raises(ArtifactError, match=r"onnx/more is not in"):
            open_predictor(copied, "onnx")

    def test_one_without_marks_is_taken_before_one_with(self, copied: Path) -> None:
        manifest = read_manifest(copied)
        marked = replace(manifest.artifacts["onnx"], marks=("loses half",))
        artifacts = {**manifest.artifacts, "onnx": marked}
        write_manifest(replace(manifest, artifacts=artifacts), copied)
        assert find_artifact(copied)[2].format == "openvino"
        assert find_artifact(copied / "onnx" / "model.onnx")[2].format == "onnx"


@pytest.mark.slow
def test_an_adapter_laid_into_an_hf_export_is_refused(tmp_path: Path) -> None:
    """An adapter in a folder is loaded by transformers itself, where peft is installed."""
    pytest.importorskip("transformers")
    member = small_member.member(small_member.candidate("classification"), tmp_path / "weights")
    order = ExportRequest((FORMATS["hf"],), is_timed=False)
    export = tmp_path / "export"
    export_member(small_member.study("classification", tmp_path), member, order, export)
    open_predictor(export)
    (export / "hf" / "adapter_config.json").write_text("{}")
    with pytest.raises(ArtifactError, match=r"hf/adapter_config\.json is not in .* Remove it"):
        open_predictor(export)


def rewrite(folder: Path, manifest: Manifest, name: str) -> None:
    """Write a manifest whose checksums are those of the files as they are."""
    artifact = manifest.artifacts[name]
    files = {file: sha256_of(folder / file) for file in artifact.files}
    changed = replace(artifact, files=files)
    write_manifest(replace(manifest, artifacts={**manifest.artifacts, name: changed}), folder)


class TestPickles:
    @pytest.mark.parametrize(
        ("member", "content"),
        [
            ("data/weights/model.pt", None),
            ("data/constants/custom_obj_0", None),
            ("data/constants/opaque_obj_0", None),
            ("data/sample_inputs/model.pt", None),
            (
                "data/weights/model_weights_config.json",
                b'{"config": {"w": {"path_name": "weight_0", "use_pickle": true}}}',
            ),
        ],
    )
    def test_no_archive_with_a_pickle_is_read(
        self, copied: Path, tmp_path: Path, member: str, content: bytes | None
    ) -> None:
        """torch.export.load itself falls back to unpickling anything."""
        manifest = read_manifest(copied)
        file = copied / manifest.artifacts["torch-export"].file
        check_archive(file)
        trap = tmp_path / "trap"
        exchange(file, member, trapped(trap) if content is None else content)
        rewrite(copied, manifest, "torch-export")
        with pytest.raises(ArtifactError, match=r"not a tensor|asks for a pickle|safe to read"):
            open_predictor(copied, "torch-export")
        assert not trap.exists()


class _Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.path,))


def trapped(path: Path) -> bytes:
    """Return a file of torch.save that makes a file when it is unpickled."""
    buffer = io.BytesIO()
    torch.save(_Trap(path), buffer)
    buffer.seek(0)
    torch.load(buffer, weights_only=False)
    assert path.exists()
    path.unlink()
    assert pickle.HIGHEST_PROTOCOL >= 2
    return buffer.getvalue()


def exchange(archive: Path, member: str, content: bytes) -> None:
    """Put a file into an archive, in the place of the one of its name."""
    with zipfile.ZipFile(archive) as old:
        root = old.namelist()[0].partition("/")[0]
        files = {name: old.read(name) for name in old.namelist()}
    files[f"{root}/{member}"] = content
    with zipfile.ZipFile(archive, "w") as new:
        for name, held in files.items():
            new.writestr(name, held)
