from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from archfront.search.front.intervals import kept_interval
from archfront.search.latency.key import MeasureSettings
from archfront.search.latency.measure import measure_architecture
from archfront.search.runtimes import LoadSettings, runtime_named
from archfront.search.runtimes.perturb import draw_images, perturb
from archfront.trainers.data.batch_targets import batch_targets
from archfront.trainers.data.targets import Objects
from archfront.trainers.data.verify import Sample
from archfront.trainers.errors import ConfigError
from archfront.trainers.networks.backbone import preprocess_for
from archfront.trainers.spec import Architecture, TrainSettings, Weights
from archfront.trainers.tasks import TASKS
from archfront.trainers.tasks.judges import average_precision
from archfront.trainers.tasks.judges.average_precision import best_f1_score, coco_metrics
from archfront.trainers.tasks.protocol import Evaluator
from tests.support.drawn_objects import NAMES, drawn_samples

HEADS = {"detection": "yolo", "instance": "yolo_mask"}
SETTINGS = TrainSettings("map", 1, 1, 0, 0.0, "one_cycle", "fp32", 1)


def architecture(task: str, **changes: object) -> Architecture:
    plain = {
        "task": task,
        "backbone": "test_resnet",
        "head": HEADS[task],
        "input_size": 64,
        "classes": 2,
        "channels": 3,
        "neck": "pan",
        "width": 16,
        "depth": 1,
        "finest": 8,
    }
    return Architecture(**{**plain, **changes})


def perfect(samples: tuple[Sample, ...], a: Architecture) -> dict[str, torch.Tensor]:
    """Return outputs that say what is true, in pixels of the input."""
    preprocess = preprocess_for(a, Weights(), TASKS[a.task].resize)
    targets = batch_targets(samples, preprocess, a.classes).of(torch.arange(len(samples)))
    side = a.input_size // 4
    detections = torch.zeros(len(samples), 100, 6)
    masks = torch.zeros(len(samples), 100, side, side)
    for i, target in enumerate(targets):
        k = len(target["labels"])
        detections[i, :k, :4] = target["boxes"]
        detections[i, :k, 4] = torch.linspace(0.9, 0.8, k)
        detections[i, :k, 5] = target["labels"].float()
        masks[i, :k] = target["masks"].float().view(k, side, 4, side, 4).mean(dim=(2, 4))
    return {"detections": detections, "masks": masks}


def evaluated(
    samples: tuple[Sample, ...], a: Architecture, outputs: dict[str, torch.Tensor]
) -> Evaluator:
    task = TASKS[a.task]
    evaluator = task.evaluator(samples, NAMES, preprocess_for(a, Weights(), task.resize))
    evaluator.update(outputs)
    return evaluator


@pytest.mark.parametrize("task", HEADS)
class TestBothTasks:
    @pytest.mark.slow
    def test_a_few_drawn_images_are_learned(self, task: str) -> None:
        a, samples = architecture(task), drawn_samples(0, 4)
        preprocess = preprocess_for(a, Weights(), TASKS[task].resize)
        images = preprocess.normalize(torch.stack([preprocess(s.source) for s in samples]))
        targets = batch_targets(samples, preprocess, 2).of(torch.arange(4))
        torch.manual_seed(0)
        model = TASKS[task].build(a, Weights())
        optimizer = torch.optim.AdamW(model.parameters(), lr=6e-3)
        totals = []
        for _ in range(44):
            losses = TASKS[task].training_step(model, (images, targets), SETTINGS)
            total = torch.stack(tuple(losses.values())).sum()
            optimizer.zero_grad()
            total.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            totals.append(total.item())
        assert totals[-1] < totals[0] / 3
        with torch.no_grad():
            evaluator = evaluated(samples, a, TASKS[task].predict(model.eval(), images))
        assert evaluator.metrics()["map50"] > 0.8

    @pytest.mark.parametrize(("width", "height"), [(128, 128), (160, 90), (70, 150)])
    def test_what_is_true_is_found_at_the_size_of_the_image(
        self, task: str, width: int, height: int
    ) -> None:
        """Images are shrunk or enlarged, and padded at the right or below."""
        samples = drawn_samples(1, 5, width=width, height=height)
        a = architecture(task, input_size=256)
        metrics = evaluated(samples, a, perfect(samples, a)).metrics()
        if task == "detection":
            assert metrics["map"] == pytest.approx(1.0)
        else:
            assert metrics["map75"] == pytest.approx(1.0)
            assert metrics["box_map50"] == pytest.approx(1.0)
            assert metrics["map"] > 0.7
        assert set(TASKS[task].metrics) <= set(metrics)
        assert {"ap/square", "ap/disc", "map_small"} <= set(metrics)
        assert "map_large" not in metrics

    def test_the_least_score_needs_no_evaluation_of_its_own(
        self, task: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An export evaluated the boxes once for their metrics and once for their scores."""
        a, samples = architecture(task), drawn_samples(2, 8)
        kinds: list[str] = []
        original = average_precision._evaluated

        def counted(saved: Any, classes: int, kind: str) -> Any:
            kinds.append(kind)
            return original(saved, classes, kind)

        monkeypatch.setattr(average_precision, "_evaluated", counted)
        evaluator = evaluated(samples, a, perfect(samples, a))
        evaluator.metrics()
        least = evaluator.least_score()
        assert sorted(kinds) == (["bbox"] if task == "detection" else ["bbox", "segm"])
        assert least == best_f1_score(evaluator.saved_predictions(), len(NAMES))

    def test_what_is_kept_gives_metrics_and_an_interval(self, task: str, tmp_path: Path) -> None:
        a, samples = architecture(task), drawn_samples(2, 8)
        outputs = perfect(samples, a)
        outputs["detections"][:5, 0, 5] = 1 - outputs["detections"][:5, 0, 5]
        evaluator = evaluated(samples, a, outputs)
        np.savez(tmp_path / "kept.npz", **evaluator.saved_predictions())
        with np.load(tmp_path / "kept.npz", allow_pickle=False) as kept:
            assert coco_metrics(kept, NAMES) == evaluator.metrics()
        for metric in TASKS[task].metrics:
            low, high = kept_interval(
                TASKS[task],
                metric,
                tmp_path / "kept.npz",
                value=evaluator.metrics()[metric],
                rng=np.random.default_rng(0),
            )
            assert 0 < low < evaluator.metrics()[metric] < high <= 1

    def test_a_split_without_objects_scores_nothing(self, task: str) -> None:
        a, [sample] = architecture(task), drawn_samples(0, 1)
        assert isinstance(sample.target, Objects)
        bare = Sample(sample.source, sample.target.only([]), "", 64, 64, is_grey=False, digest="")
        evaluator = evaluated((bare,), a, perfect((sample,), a))
        assert evaluator.metrics() == dict.fromkeys(TASKS[task].metrics, 0.0)
        for metric in TASKS[task].metrics:
            value_of = TASKS[task].resampled(metric, evaluator.saved_predictions())
            assert value_of(np.ones((3, 1))).tolist() == [0, 0, 0]

    def test_decoded_are_the_rows_that_are_filled(self, task: str) -> None:
        a, samples = architecture(task), drawn_samples(3, 2)
        outputs = {name: value.numpy() for name, value in perfect(samples, a).items()}
        for sample, found in zip(samples, TASKS[task].decode(outputs), strict=True):
            assert isinstance(sample.target, Objects)
            assert np.allclose(found["boxes"], sample.target.boxes)
            assert found["labels"].tolist() == sample.target.labels.tolist()
            assert found["scores"].tolist() == pytest.approx([0.9, 0.85, 0.8])
            if task == "instance":
                assert found["masks"].shape == (3, 16, 16)
                areas = found["masks"].sum(axis=(1, 2)) * 16
                assert areas == pytest.approx([300] * 3, rel=0.6)

    @pytest.mark.slow
    @pytest.mark.parametrize("runtime", ["eager", "onnxruntime", "openvino"])
    def test_it_can_be_measured(self, task: str, runtime: str, tmp_path: Path) -> None:
        settings = MeasureSettings(runtime, 1, 1, 1, 5, max_seconds=0.03)
        measured = measure_architecture(architecture(task), settings, folder=tmp_path)
        assert measured.latency.p50_ms > 0
        assert measured.latency.parity is not None
        assert measured.latency.parity <= 1e-3

    def test_perturbed_outputs_tell_images_apart_at_every_level(self, task: str) -> None:
        model = TASKS[task].build((a := architecture(task)), Weights()).eval()
        model.requires_grad_(False)
        images = draw_images(TASKS[task].example(a, 1, 0), 0)
        perturb(model, images, 0)
        boxes, scores = model(images)[:2]
        for level in torch.split(boxes, [64, 16, 4], dim=1):
            assert level.std(dim=0).mean() > 1  # pixels
        for level in torch.split(scores, [64, 16, 4], dim=1):
            assert level.std(dim=0).mean() > 0.02

    def test_backbones_without_a_pyramid_are_refused(self, task: str) -> None:
        assert TASKS[task].heads_for("test_resnet") == TASKS[task].heads
        assert TASKS[task].heads_for("test_vit") == ()
        for head in TASKS[task].heads:
            reason = TASKS[task].misfit(head, "vision_transformer", (16, 16, 16))
            assert reason == "needs maps of strides 8, 16, and the backbone's are 16"
            assert TASKS[task].misfit(head, "nest", (4, 8, 16)) is None

    def test_unknown_heads_are_named(self, task: str) -> None:
        with pytest.raises(ConfigError, match=rf"Did you mean '{HEADS[task]}'\?"):
            TASKS[task].heads_for("test_resnet", [f"{HEADS[task]}x"])

    @pytest.mark.slow
    def test_merged_blocks_find_the_same(self, task: str) -> None:
        model = (
            TASKS[task]
            .build((a := architecture(task, backbone="repghostnet_050", fused=True)), Weights())
            .eval()
        )
        deployed, images = TASKS[task].deploy_module(model), TASKS[task].example(a, 2, 0)
        with torch.no_grad():
            expected, found = model(images), deployed(images)
        assert torch.allclose(found[0], expected[0], atol=1e-2)
        assert torch.allclose(found[1], expected[1], atol=1e-5)
        counts = [sum(p.numel() for p in network.parameters()) for network in (model, deployed)]
        assert counts[1] < counts[0]


def test_crowds_are_neither_missed_nor_wrongly_found() -> None:
    [sample] = drawn_samples(0, 1)
    assert isinstance(sample.target, Objects)
    whole = sample.target
    crowd = Objects(whole.boxes, whole.labels, np.array([True, False, False]), whole.segments)
    grouped = Sample(sample.source, crowd, "", 64, 64, is_grey=False, digest="")
    a = architecture("detection")
    outputs = perfect((sample,), a)
    assert evaluated((grouped,), a, outputs).metrics()["map"] == pytest.approx(1.0)
    outputs["detections"][0, 0] = 0  # what lies in the crowd is not found
    assert evaluated((grouped,), a, outputs).metrics()["map"] == pytest.approx(1.0)


def test_areas_are_those_of_the_outlines_where_there_are_some() -> None:
    """Discs of 36 px lie in the box of a medium object, and are small themselves."""
    [sample] = drawn_samples(0, 1)
    angles = np.arange(40) * 2 * np.pi / 40
    around = np.stack([32 + 17 * np.cos(angles), 32 + 17 * np.sin(angles)], axis=1)
    box, label = np.array([[15, 15, 49, 49]], np.float32), np.zeros(1, np.int64)
    outline = ((tuple(around.ravel().tolist()),),)
    a = architecture("detection")
    for segments, size in ((None, "map_medium"), (outline, "map_small")):
        target = Objects(box, label, np.zeros(1, np.bool_), segments)
        one = Sample(sample.source, target, "", 64, 64, is_grey=False, digest="")
        detections = torch.zeros(1, 100, 6)
        detections[0, 0] = torch.tensor([15.0, 15, 49, 49, 0.9, 0])
        metrics = evaluated((one,), a, {"detections": detections}).metrics()
        assert [name for name in metrics if name.startswith("map_")] == [size]


@pytest.mark.slow
def test_an_export_gives_the_masks_of_its_detections(tmp_path: Path) -> None:
    """They are not compared when a network is measured."""
    task, a = TASKS["instance"], architecture("instance")
    model = task.build(a, Weights()).eval()
    model.requires_grad_(False)
    images = draw_images(task.example(a, 1, 0), 0)
    perturb(model, images, 0)
    module = task.deploy_module(model)
    settings = LoadSettings(
        folder=tmp_path,
        exporter="torchscript",
        output_names=task.output_names,
        threads=1,
        precision="fp32",
        calibration=torch.split(images, 1),
    )
    n_compared = 0
    with runtime_named("onnxruntime").load(module, images[:1], settings) as session:
        for image in torch.split(images, 1):
            expected = [output.numpy() for output in module(image)]
            found = list(session.outputs(image.numpy()).values())
            same = np.isclose(found[2], expected[2], atol=1e-2).all(axis=2)
            assert same.mean() > 0.9
            assert np.allclose(found[3][same], expected[3][same], atol=1e-3)
            n_compared += int((expected[3][same].max(axis=(1, 2)) > 0.5).sum())
    assert n_compared > 100
