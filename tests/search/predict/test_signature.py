"""Who made an export: its signature, and what is opened without one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from archfront.search.errors import ArtifactError
from archfront.search.predict import signature
from archfront.search.predict.foreign import is_plain_hf
from archfront.search.predict.manifest import MANIFEST, find_artifact, sha256_of
from archfront.search.predict.openers import open_file
from archfront.search.predict.opening import Opening
from archfront.search.predict.predictor import open_predictor
from archfront.search.predict.signature import is_signed_here, key_file, signed
from tests.support import small_member
from tests.support.command import Output, fails, succeeds
from tests.support.shared_exports import SharedExports


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty configuration folder."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config"


@pytest.fixture
def foreign(exports: SharedExports, tmp_path: Path) -> Path:
    """Return an export whose signature was made by another key."""
    folder = Path(shutil.copytree(exports.served("classification"), tmp_path / "export"))
    change(folder, signature="0" * 64)
    return folder


def change(folder: Path, **changes: Any) -> None:
    file = folder / MANIFEST
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


class Writing(torch.nn.Module):
    """Overwrites a file when it predicts."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        return [torch.from_file(self.path, True, 100).zero_()]


class TestKey:
    def test_it_is_made_once_for_its_owner_alone(self, configured: Path) -> None:
        first, second = signed({"a": 1}), signed({"a": 1})
        assert first == second
        assert is_signed_here(first)
        assert key_file() == configured / "archfront" / "export.key"
        assert key_file().stat().st_mode & 0o777 == 0o600
        assert len(key_file().read_bytes()) == 32
        assert list(key_file().parent.iterdir()) == [key_file()]

    def test_reading_makes_none(self, configured: Path) -> None:
        assert not is_signed_here({"a": 1, "signature": "0" * 64})
        assert not configured.exists()

    @pytest.mark.parametrize("mode", [0o640, 0o606])
    def test_one_that_others_may_use_is_not_used(
        self, configured: Path, mode: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        content = signed({"a": 1})
        key_file().chmod(mode)
        assert not is_signed_here(content)
        assert "signature" not in signed({"a": 1})
        assert f"The key of exports {key_file()} is not used, since other users" in caplog.text

    def test_without_a_place_for_one_nothing_is_signed(
        self, configured: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        configured.write_text("a file")
        assert signed({"a": 1}) == {"a": 1}
        assert "Exports are neither signed nor known as made here" in caplog.text

    def test_a_relative_configuration_folder_is_ignored(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("XDG_CONFIG_HOME", "config")
        monkeypatch.setenv("HOME", str(tmp_path))
        assert key_file() == tmp_path / ".config" / "archfront" / "export.key"


@pytest.mark.usefixtures("configured")
class TestSignature:
    @pytest.mark.parametrize(
        "changed", [{"a": 2}, {"b": 1}, {"signature": None}, {"signature": 5}]
    )
    def test_any_change_breaks_it(self, changed: dict[str, Any]) -> None:
        content = signed({"a": 1, "b": [0.1, {"c": "é"}]})
        assert is_signed_here(json.loads(json.dumps(content)))
        assert not is_signed_here({**content, **changed})

    def test_the_order_of_keys_is_no_change(self) -> None:
        content = signed({"a": 1, "b": 2})
        assert is_signed_here(dict(reversed(content.items())))

    def test_another_key_gives_another_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        content = signed({"a": 1})
        key_file().unlink()
        assert signed({"a": 1}) != content
        assert not is_signed_here(content)

    def test_it_is_compared_in_constant_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        content, compared = signed({"a": 1}), []
        monkeypatch.setattr(
            signature.hmac, "compare_digest", lambda *given: compared.append(given) or False
        )
        assert not is_signed_here(content)
        assert len(compared) == 1


class TestDoor:
    def test_an_export_is_signed_by_whom_it_is_made(self, exports: SharedExports) -> None:
        assert find_artifact(exports.served("classification")).is_made_here

    def test_a_changed_manifest_is_foreign(self, exports: SharedExports, tmp_path: Path) -> None:
        folder = Path(shutil.copytree(exports.served("classification"), tmp_path / "export"))
        change(folder, trial=7)
        assert not find_artifact(folder).is_made_here

    def test_a_foreign_program_is_opened_with_trust_only(
        self, foreign: Path, tmp_path: Path, capsys: Output
    ) -> None:
        picture = str(small_member.picture(tmp_path))
        words = ("predict", str(foreign), picture, "--format", "torch-export")
        said = fails(capsys, 1, *words)
        assert said == (
            f"{foreign}/torch-export/model.pt2 is a program (torch-export), and its manifest.json "
            "has no signature of yours: it was exported by another user, on another machine, or "
            "before exports were signed. Opening it can read, change and send your files. Take "
            "another format (onnx, openvino), export it here again, or give --trust if you trust "
            "who made it."
        )
        assert any(name in succeeds(capsys, *words, "--trust") for name in ("circle", "square"))

    @pytest.mark.parametrize("name", ["onnx", "openvino"])
    def test_a_graph_needs_no_trust(self, foreign: Path, name: str) -> None:
        with open_predictor(foreign, name) as predictor:
            assert predictor.artifact.format == name

    def test_the_opener_counts_and_not_the_name_of_the_format(self, foreign: Path) -> None:
        """The manifest is the attacker's: it may call a program ``onnx``."""
        content = json.loads((foreign / MANIFEST).read_text())
        content["artifacts"]["onnx"] = {**content["artifacts"]["torch-export"], "format": "onnx"}
        change(foreign, artifacts=content["artifacts"])
        with pytest.raises(ArtifactError, match=r"model\.pt2 is a program \(torch-export\)"):
            open_predictor(foreign, "onnx")

    def test_a_foreign_export_is_opened_as_a_graph_though_it_is_marked(
        self, foreign: Path
    ) -> None:
        content = json.loads((foreign / MANIFEST).read_text())
        for name in ("onnx", "openvino"):
            content["artifacts"][name]["marks"] = ["loses half"]
        change(foreign, artifacts=content["artifacts"])
        assert find_artifact(foreign).artifact.format == "onnx"

    @pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")
    def test_a_script_writes_no_file(self, foreign: Path, tmp_path: Path) -> None:
        """TorchScript may map a file of the user and write to it."""
        victim = tmp_path / "victim"
        victim.write_bytes(b"x" * 400)
        file = foreign / "torch-export" / "model.pt2"
        torch.jit.save(torch.jit.script(Writing(str(victim))), str(file))
        content = json.loads((foreign / MANIFEST).read_text())
        artifact = content["artifacts"]["torch-export"]
        artifact |= {"opener": "torchscript", "files": {artifact["file"]: sha256_of(file)}}
        change(foreign, artifacts={"torch-export": artifact})
        with pytest.raises(ArtifactError, match=r"is a program \(torchscript\)"):
            open_predictor(foreign)
        assert victim.read_bytes() == b"x" * 400

    def test_an_opening_is_not_trusted_unless_it_says_so(self, tmp_path: Path) -> None:
        with pytest.raises(ArtifactError, match="is a program"):
            open_file("torchscript", Opening(tmp_path / "model.pt", (), 1, "fp32", "semantic"))


@pytest.mark.parametrize("place", ["..", "../..", "/", "/etc"])
def test_what_is_opened_lies_within_the_export(foreign: Path, place: str) -> None:
    content = json.loads((foreign / MANIFEST).read_text())
    content["artifacts"]["onnx"]["file"] = place
    change(foreign, artifacts=content["artifacts"])
    with pytest.raises(ArtifactError, match=rf"names {place}, which is outside of"):
        open_predictor(foreign, "onnx")


def test_a_link_out_of_an_export_is_told_with_its_target(foreign: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.onnx"
    (foreign / "onnx" / "model.onnx").rename(secret)
    (foreign / "onnx" / "model.onnx").symlink_to(secret)
    with pytest.raises(ArtifactError, match=rf"model\.onnx is a link to {secret}, which is out"):
        open_predictor(foreign, "onnx")


class TestTransformers:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        (tmp_path / "config.json").write_text(
            json.dumps(
                {
                    "model_type": "timm_wrapper",
                    "architecture": "test_resnet",
                    "model_args": {"in_chans": 3, "global_pool": "avg"},
                }
            )
        )
        (tmp_path / "model.safetensors").write_bytes(b"")
        return tmp_path

    def test_weights_and_options_are_plain(self, folder: Path) -> None:
        assert is_plain_hf(folder)

    @pytest.mark.parametrize("name", ["modeling.py", "pytorch_model.bin", "code/run.py"])
    def test_any_other_file_makes_it_a_program(self, folder: Path, name: str) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"")
        assert not is_plain_hf(folder)

    @pytest.mark.parametrize(
        "changed",
        [
            {"auto_map": {"AutoModel": "modeling.Net"}},
            {"architecture": "hf-hub:someone/else"},
            {"architecture": "local-dir:/home"},
            {"architecture": 5},
            {"model_args": {"checkpoint_path": "/etc/passwd"}},
            {"model_args": ["in_chans"]},
        ],
    )
    def test_an_option_that_names_code_or_files_makes_it_a_program(
        self, folder: Path, changed: dict[str, Any]
    ) -> None:
        config = folder / "config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | changed))
        assert not is_plain_hf(folder)

    @pytest.mark.parametrize("text", ["[" * 100_000, "{", "[]", "5"])
    def test_a_damaged_text_makes_it_a_program(self, folder: Path, text: str) -> None:
        (folder / "config.json").write_text(text)
        assert not is_plain_hf(folder)
