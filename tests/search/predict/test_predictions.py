"""An exported model put to use: its answers, what it loads, and the command."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from faster_coco_eval.core import mask as coco
from PIL import Image

from archfront.search.cli import main
from archfront.search.commands.predict import _targets, image_files
from archfront.search.errors import ArtifactError, ExportError
from archfront.search.formats.formats import FORMATS
from archfront.search.predict.answer import ANSWERS, PredictedImage, answer
from archfront.search.predict.manifest import read_manifest, write_manifest
from archfront.search.predict.openers import OPENERS
from archfront.search.predict.predictor import Predictor, open_predictor
from archfront.trainers.data import Preprocess
from archfront.trainers.data.images import read_pixels
from archfront.trainers.tasks import TASKS
from archfront.trainers.tasks.judges.class_map import class_map
from archfront.trainers.tasks.judges.masks import labels_at
from tests.support import small_member
from tests.support.command import Output, fails, succeeds, wrong_use
from tests.support.programs import TORCH, Programs
from tests.support.shared_exports import SharedExports

# What a prediction imports in any case; the check sees that none of it is heavy.
LIGHT = ("archfront.search.cli", "numpy", "PIL.Image")
KEYS = {
    "classification": {"label", "score", "probabilities"},
    "multilabel": {"labels", "probabilities"},
    "semantic": {"width", "height", "classes"},
    "detection": {"width", "height", "objects"},
    "instance": {"width", "height", "objects"},
}


@pytest.fixture
def copied(exports: SharedExports, tmp_path: Path) -> Path:
    """Return a copy of an export that may be damaged."""
    import shutil

    return Path(shutil.copytree(exports.served("classification"), tmp_path / "export"))


def asked_of(export: Path, picture: Path, **changes: float) -> PredictedImage:
    with open_predictor(export) as predictor:
        outputs = predictor.outputs(small_member.resized(predictor, picture))
    with Image.open(picture) as image:
        width, height = image.size
    one = {name: output[0] for name, output in outputs.items()}
    return PredictedImage([one], width, height, predictor.manifest, changes.get("threshold", 0.0))


@pytest.mark.parametrize("task", TASKS)
class TestAnswerContract:
    @pytest.mark.slow
    def test_an_answer_is_json_of_its_task(
        self, task: str, exports: SharedExports, tmp_path: Path
    ) -> None:
        said = answer(asked_of(exports.served(task), small_member.picture(tmp_path)))
        assert json.loads(json.dumps(said)) == said
        assert said.keys() == KEYS[task]

    @pytest.mark.slow
    def test_both_runtimes_say_the_same(
        self, task: str, exports: SharedExports, capsys: Output, tmp_path: Path
    ) -> None:
        picture = str(small_member.picture(tmp_path))
        words = ("predict", str(exports.served(task)), picture, "--json", "--format")
        first, second = (
            json.loads(succeeds(capsys, *words, name)) for name in ("onnx", "openvino")
        )
        assert first.keys() == second.keys()
        if "label" in first:
            assert first["label"] == second["label"]
            assert first["score"] == pytest.approx(second["score"], abs=1e-4)
        if "classes" in first:
            shares = [{c["label"]: c["share"] for c in x["classes"]} for x in (first, second)]
            assert shares[0] == pytest.approx(shares[1], abs=1e-3)

    def test_it_is_drawn(
        self, task: str, exports: SharedExports, capsys: Output, tmp_path: Path
    ) -> None:
        picture = small_member.picture(tmp_path)
        words = (
            "predict",
            str(exports.served(task)),
            str(picture),
            "--min-score",
            "0.1",
            "--draw",
        )
        said = succeeds(capsys, *words, str(tmp_path / "drawn"))
        assert said == f"1 picture in {tmp_path / 'drawn'}\n"
        [drawn] = (tmp_path / "drawn").iterdir()
        pixels = read_pixels(drawn)
        assert pixels.shape[0] >= 60
        assert pixels.shape[1] >= 90
        below, within = pixels[60:], pixels[:60, :90] != read_pixels(picture)
        assert below.any() if task in ("classification", "multilabel") else within.any()

    @pytest.mark.slow
    def test_it_needs_no_torch(
        self, task: str, exports: SharedExports, programs: Programs, tmp_path: Path
    ) -> None:
        picture = small_member.picture(tmp_path)
        for name in ("onnx", "openvino"):
            words = ("predict", str(exports.served(task) / name), str(picture), "--json")
            loaded = loaded_by(programs, *words)
            heavy = {"torch", "pytorch_lightning", "timm", "mlflow", "hydra", "optuna", "sklearn"}
            assert loaded & heavy == set()


def loaded_by(programs: Programs, *words: str, imports: tuple[str, ...] = LIGHT) -> set[str]:
    """Return the modules that a command leaves loaded, in a process of its own."""
    program = (
        "import sys\nfrom archfront.search.cli import main\nstatus = main(sys.argv[1:])\n"
        "assert status == 0, status\nprint(','.join(sys.modules))"
    )
    said = programs.run(program, *words, imports=imports, sees_repository=True)
    return set(said.splitlines()[-1].split(","))


@pytest.mark.slow  # a process that imports torch
@pytest.mark.parametrize("name", ["torchscript", "torch-export"])
def test_a_detector_of_torch_opens_in_a_process_of_its_own(
    name: str, exports: SharedExports, programs: Programs, tmp_path: Path
) -> None:
    """Its graph calls torchvision's suppression by name, which nothing had imported."""
    export = exports.of("detection") / name
    picture = small_member.picture(tmp_path)
    words = ("predict", str(export), str(picture), "--json")
    assert "torchvision" in loaded_by(programs, *words, imports=TORCH)


def test_every_task_has_an_answer() -> None:
    assert ANSWERS.keys() == TASKS.keys()
    assert {entry.opener for entry in FORMATS.values()} == OPENERS.keys()


def test_objects_are_in_pixels_of_the_image_and_masks_inside_their_boxes(
    exports: SharedExports, tmp_path: Path
) -> None:
    said = answer(asked_of(exports.served("instance"), small_member.picture(tmp_path)))
    assert said["objects"]
    for one in said["objects"]:
        x1, y1, x2, y2 = one["box"]
        assert 0 <= x1 <= x2 <= 90
        assert 0 <= y1 <= y2 <= 60
        mask = coco.decode({**one["mask"], "counts": one["mask"]["counts"].encode()})
        assert mask.shape == (60, 90)
        rows, columns = np.nonzero(mask)
        assert len(rows) == 0 or (columns.min() >= x1 - 1 and columns.max() <= x2 + 1)


def test_the_masks_of_classes_cover_the_image_once(exports: SharedExports, tmp_path: Path) -> None:
    asked = asked_of(exports.served("semantic"), small_member.picture(tmp_path))
    said = answer(asked)
    masks = [
        coco.decode({**one["mask"], "counts": one["mask"]["counts"].encode()})
        for one in said["classes"]
    ]
    assert np.array_equal(np.sum(masks, axis=0), np.ones((60, 90)))
    found = asked.classes
    for one, mask in zip(said["classes"], masks, strict=True):
        label = asked.manifest.class_names.index(one["label"])
        assert np.array_equal(mask > 0, found == label)
        assert one["share"] == pytest.approx(mask.mean())


@pytest.mark.parametrize(("width", "height"), [(90, 60), (7, 9), (16, 16), (33, 5)])
@pytest.mark.parametrize("chunk", [100, 16_000_000])
def test_the_class_map_is_that_of_the_judge(width: int, height: int, chunk: int) -> None:
    logits = np.random.default_rng(0).normal(size=(4, 12, 16)).astype(np.float32)
    expected = np.concatenate(
        [labels for _, labels in labels_at(torch.from_numpy(logits), width, height)]
    )
    found = class_map(logits, width, height, chunk=chunk)
    assert (found != expected).mean() <= 0.001  # a rounding error may turn a tie


def test_normalizing_without_torch_is_the_same() -> None:
    preprocess = Preprocess(8, 3, (0.48, 0.45, 0.4), (0.22, 0.23, 0.25))
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 8, 8), np.uint8)
    expected = preprocess.normalize(torch.from_numpy(pixels)).numpy()
    assert np.allclose(preprocess.normalized(pixels), expected, atol=2e-6)
    assert preprocess.normalized(pixels).dtype == np.float32


def test_a_threshold_hides_what_is_less_sure(exports: SharedExports, tmp_path: Path) -> None:
    picture = small_member.picture(tmp_path)
    every = answer(asked_of(exports.served("detection"), picture))["objects"]
    middle = sorted(one["score"] for one in every)[len(every) // 2]
    fewer = answer(asked_of(exports.served("detection"), picture, threshold=middle))["objects"]
    assert 0 < len(fewer) < len(every)
    assert all(one["score"] >= middle for one in fewer)


class TestCommand:
    def test_a_table_names_image_and_answer(
        self, exports: SharedExports, capsys: Output, tmp_path: Path
    ) -> None:
        picture = small_member.picture(tmp_path)
        said = succeeds(capsys, "predict", str(exports.served("classification")), str(picture))
        assert any(name in said for name in ("circle", "square", "triangle"))

    def test_an_image_that_cannot_be_read_hides_no_other(
        self, exports: SharedExports, capsys: Output, tmp_path: Path
    ) -> None:
        picture = small_member.picture(tmp_path)
        broken = tmp_path / "broken.png"
        broken.write_bytes(b"no image")
        words = [
            "predict",
            str(exports.served("classification")),
            str(broken),
            str(picture),
            "--json",
        ]
        assert main(words) == 1
        shown = capsys.readouterr()
        assert shown.err == f"archfront: {broken}: it is not an image of a known format\n"
        assert json.loads(shown.out)["image"] == str(picture)

    def test_an_image_without_an_answer_hides_no_other(
        self,
        exports: SharedExports,
        capsys: Output,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
    ) -> None:
        """The images after one that took an export beyond its limits were not looked at."""
        picture = small_member.picture(tmp_path)
        outputs, errors = Predictor.outputs, [ExportError("It took more than 5 s."), None]

        def limited(predictor: Predictor, images: Any) -> Any:
            if (error := errors.pop(0)) is not None:
                raise error
            return outputs(predictor, images)

        monkeypatch.setattr(Predictor, "outputs", limited)
        large = shutil.copy(picture, tmp_path / "large.png")
        export = str(exports.served("classification"))
        assert main(["predict", export, str(large), str(picture), "--json"]) == 1
        said = capsys.readouterr()
        assert json.loads(said.out)["image"] == str(picture)
        assert said.err == f"archfront: {large}: It took more than 5 s.\n"

    def test_a_folder_stands_for_its_images(
        self, exports: SharedExports, capsys: Output, tmp_path: Path
    ) -> None:
        small_member.picture(tmp_path)
        (tmp_path / "notes.txt").write_text("x")
        said = succeeds(
            capsys, "predict", str(exports.served("classification")), str(tmp_path), "--json"
        )
        assert len(said.splitlines()) == 1
        below = tmp_path / "above" / "cat"
        below.mkdir(parents=True)
        for name in ("a", "b"):
            (below / f"{name}.png").write_bytes(small_member.picture(tmp_path).read_bytes())
        assert list(image_files([tmp_path / "above"])) == [below / "a.png", below / "b.png"]

    def test_places_that_are_not_there_are_named(
        self, exports: SharedExports, capsys: Output, tmp_path: Path
    ) -> None:
        export = str(exports.served("classification"))
        missing = tmp_path / "no.png"
        assert fails(capsys, 1, "predict", export, str(missing)) == (
            f"There is no image or folder {missing}."
        )
        assert fails(capsys, 1, "predict", export, str(tmp_path)).startswith(
            f"The folder {tmp_path} has no image (.avif"
        )

    def test_a_format_that_could_not_be_made_is_told_with_its_reason(self, copied: Path) -> None:
        manifest = read_manifest(copied)
        write_manifest(replace(manifest, failed={"hf": "its head is gem."}), copied)
        with pytest.raises(ArtifactError, match=r"hf could not be made when .*: its head is gem"):
            open_predictor(copied, "hf")

    def test_pictures_go_to_a_folder(self, copied: Path, capsys: Output, tmp_path: Path) -> None:
        picture = str(small_member.picture(tmp_path))
        said = fails(capsys, 2, "predict", str(copied), picture, "--draw", picture)
        assert said == f"--draw: {picture} is a file. Give a folder."

    def test_no_picture_replaces_an_image(
        self, exports: SharedExports, capsys: Output, tmp_path: Path
    ) -> None:
        picture = small_member.picture(tmp_path)
        content = picture.read_bytes()
        words = ("predict", str(exports.served("classification")), str(tmp_path), "--draw")
        assert fails(capsys, 2, *words, str(tmp_path)) == (
            f"--draw: a picture would replace the image {picture}. Give another folder."
        )
        assert picture.read_bytes() == content

    def test_images_of_one_name_have_pictures_of_their_own(
        self, exports: SharedExports, capsys: Output, tmp_path: Path
    ) -> None:
        """An image that was given twice was counted twice, and drawn over itself."""
        content = small_member.picture(tmp_path).read_bytes()
        for name in ("cat", "dog", "owl"):
            (tmp_path / "photos" / name).mkdir(parents=True)
            (tmp_path / "photos" / name / "1.png").write_bytes(content)
        words = [str(tmp_path / "photos"), str(tmp_path / "photos" / "cat" / "1.png")]
        drawn = tmp_path / "drawn"
        words = ["predict", str(exports.served("classification")), *words, "--draw", str(drawn)]
        assert succeeds(capsys, *words) == f"3 pictures in {drawn}\n"
        assert {file.name for file in drawn.iterdir()} == {"1.png", "1-2.png", "1-3.png"}

    def test_places_of_many_pictures_of_one_name_are_found_at_once(self) -> None:
        """Each name was looked for among all others: ten thousand took minutes."""
        files = [Path(f"photos/{n}/1.jpg") for n in range(10_000)]
        targets = _targets(files, Path("drawn"))
        assert len({*targets.values()}) == len(files)
        assert targets[files[-1]] == Path("drawn/1-10000.png")

    def test_flags_that_make_no_sense_are_told_together(
        self, exports: SharedExports, capsys: Output
    ) -> None:
        words = ("predict", "x", "y", "--min-score", "2", "--threads", "0")
        said = fails(capsys, 2, *words)
        assert "--min-score: a number from 0 to 1 is needed; got 2." in said
        assert "--threads: a whole number of at least 1 is needed; got 0." in said
        assert "not allowed with" in wrong_use(
            capsys, "predict", "x", "y", "--json", "--draw", "d"
        )
