"""torchvision's heads over timm backbones, against torchvision's own parts where there are any."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import paste_masks_in_image
from torchvision.ops import box_iou
from torchvision.ops.poolers import LevelMapper

from archfront.search.latency.network import MeasuredNetwork, build_network
from archfront.search.runtimes import RUNTIMES, LoadSettings
from archfront.search.runtimes.parity import TOLERANCE, check_parity
from archfront.trainers.errors import BuildError
from archfront.trainers.networks.backbone import Pyramid
from archfront.trainers.networks.detectors.levels import level_strides
from archfront.trainers.networks.detectors.pasted import STRIDE, paste
from archfront.trainers.networks.detectors.torchvision_two_stage import (
    MASK_CELLS,
    PROPOSAL_IOU,
    TwoStage,
)
from archfront.trainers.spec import DETECTIONS, Architecture, TrainSettings, Weights
from archfront.trainers.tasks import TASKS
from archfront.trainers.tasks.protocol import Task
from tests.support.small_networks import can_run

HEADS = ("fcos", "retinanet", "faster_rcnn", "mask_rcnn")
TWO_STAGE = HEADS[2:]
SIDE = 64
SETTINGS = TrainSettings("map", 1, 1, 0, 0.0, "one_cycle", "fp32", 1)


def task_of(head: str) -> Task:
    return TASKS["instance" if head == "mask_rcnn" else "detection"]


def architecture(head: str, **changes: object) -> Architecture:
    plain = {
        "task": "instance" if head == "mask_rcnn" else "detection",
        "backbone": "test_resnet",
        "head": head,
        "input_size": SIDE,
        "classes": 3,
        "channels": 3,
        "neck": "fpn",
        "width": 32,
        "depth": 1 if head in ("fcos", "retinanet") else 0,
        "finest": 8,
    }
    return Architecture(**{**plain, **changes})


def built(head: str, **changes: object) -> torch.nn.Module:
    torch.manual_seed(0)
    return task_of(head).build(architecture(head, **changes), Weights())


def second_stage(head: str, **changes: object) -> TwoStage:
    network = built(head, **changes).network
    assert isinstance(network, TwoStage)
    return network


def images(n: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))


def nothing() -> dict[str, torch.Tensor]:
    return {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}


def boxed(*boxes: tuple[float, ...], label: int = 0) -> dict[str, torch.Tensor]:
    """Return a target whose masks fill the boxes."""
    masks = torch.zeros(len(boxes), SIDE, SIDE, dtype=torch.uint8)
    for mask, box in zip(masks, boxes, strict=True):
        x1, y1, x2, y2 = map(round, box)
        mask[y1:y2, x1:x2] = 1
    labels = torch.full((len(boxes),), label)
    return {"boxes": torch.tensor(boxes).float(), "labels": labels, "masks": masks}


@pytest.mark.parametrize("head", HEADS)
class TestEveryHead:
    def test_dropout_is_in_the_head(self, head: str) -> None:
        """It once was left out, so that two candidates were the same network."""
        model = task_of(head).build(architecture(head), Weights(), 0.25)
        shares = [
            module.p
            for module in model.modules()
            if isinstance(module, torch.nn.modules.dropout._DropoutNd)
        ]
        assert 0.25 in shares

    @pytest.mark.parametrize(("classes", "finest", "neck"), [(1, 8, "pan"), (3, 4, "none")])
    def test_outputs_have_their_shapes(
        self, head: str, classes: int, finest: int, neck: str
    ) -> None:
        model = built(head, classes=classes, finest=finest, neck=neck).eval()
        with torch.no_grad():
            boxes, scores, detections, *masks = model(images(2))
        per_class = (classes,) if head in TWO_STAGE else ()
        n = DETECTIONS if head in TWO_STAGE else boxes.shape[1]
        assert boxes.shape == (2, n, *per_class, 4)
        assert scores.shape == (2, n, classes)
        assert detections.shape == (2, 100, 6)
        shapes = [tuple(mask.shape) for mask in masks]
        assert shapes == ([(2, 100, SIDE // 4, SIDE // 4)] if head == "mask_rcnn" else [])
        assert ((scores >= 0) & (scores <= 1)).all()
        assert detections[..., 5].max() < classes

    def test_images_without_objects_have_finite_losses_that_teach(self, head: str) -> None:
        model = built(head)
        for targets in ([boxed((8, 8, 40, 40)), nothing()], [nothing(), nothing()]):
            model.zero_grad()
            losses = task_of(head).training_step(model, (images(2), targets), SETTINGS)
            total = torch.stack(tuple(losses.values())).sum()
            total.backward()
            assert total > 0
            gradients = [p.grad for p in model.parameters() if p.grad is not None]
            assert all(gradient.isfinite().all() for gradient in gradients)

    def test_losses_in_bfloat16_are_near_those_in_float32(self, head: str) -> None:
        model = built(head)
        batch = (images(2), [boxed((8, 8, 40, 40))] * 2)
        totals = []
        for is_reduced in (False, True):
            torch.manual_seed(1)
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=is_reduced):
                losses = task_of(head).training_step(model, batch, SETTINGS)
            totals.append(float(sum(losses.values()).detach()))
        assert totals[1] == pytest.approx(totals[0], rel=0.1)

    @pytest.mark.slow
    def test_the_exports_compute_what_eager_computes(self, head: str, tmp_path: Path) -> None:
        """Masks are not compared when a network is measured."""
        n = build_network(architecture(head), 1, seed=0, weights=None)
        wanted = [[output.numpy() for output in n.module(batch)] for batch in n.batches]
        for runtime in filter(can_run, ("onnxruntime", "openvino")):
            settings = LoadSettings(tmp_path, "torchscript", n.output_names)
            with RUNTIMES[runtime].load(n.module, n.example, settings) as session:
                parity = check_parity(
                    n.module, session, n.batches, compared=n.compared, aligned=n.aligned
                )
                assert parity <= TOLERANCE, runtime
                if head == "mask_rcnn":
                    given = [list(session.outputs(b.numpy()).values()) for b in n.batches]
                    masks_are_those_of_detections(n, wanted, given)

    @pytest.mark.slow
    def test_a_frozen_backbone_stays_as_it_is_and_the_rest_learns(self, head: str) -> None:
        model = built(head)
        task_of(head).freeze(model)
        [pyramid] = [module for module in model.modules() if isinstance(module, Pyramid)]
        assert pyramid is model.network.pyramid
        before = {name: value.clone() for name, value in pyramid.state_dict().items()}
        rest = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.SGD(rest, lr=0.1)
        batch = (images(2), [boxed((8, 8, 40, 40))] * 2)
        sum(task_of(head).training_step(model.train(), batch, SETTINGS).values()).backward()
        optimizer.step()
        assert all(torch.equal(before[n], value) for n, value in pyramid.state_dict().items())
        n_trained = sum(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in rest)
        assert n_trained > 0.9 * len(rest)

    def test_anchors_are_those_of_torchvision(self, head: str) -> None:
        network = built(head).network
        levels = [torch.zeros(1, 1, SIDE // s, SIDE // s) for s in level_strides(SIDE, 8)]
        owner = network.rpn if head in TWO_STAGE else network.network
        blank = ImageList(torch.zeros(1, 3, SIDE, SIDE), [(SIDE, SIDE)])
        [expected] = owner.anchor_generator(blank, levels)
        assert torch.equal(network.anchors, expected)

    def test_a_backbone_without_the_finest_map_is_named(self, head: str) -> None:
        with pytest.raises(BuildError, match="A level of stride 8 is needed, and the backbone"):
            built(head, backbone="test_vit")

    @pytest.mark.slow
    def test_two_images_can_be_learned_by_heart(self, head: str) -> None:
        """Each class is learned as itself, the first as the first."""
        batch, steps = two_images(), {"fcos": 48, "retinanet": 100}.get(head, 60)
        model = built(head, width=32, finest=8 if head == "retinanet" else 4)
        if head in TWO_STAGE:  # of three objects there are few boxes to learn from
            model.network.roi_heads.fg_bg_sampler.batch_size_per_image = 40
        optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = 2e-3 * min(1, (steps - step) / (steps / 2))
            optimizer.zero_grad()
            sum(task_of(head).training_step(model, batch, SETTINGS).values()).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        with torch.no_grad():
            outputs = model.eval()(batch[0])
        for i, target in enumerate(batch[1]):
            best = outputs[2][i, : len(target["boxes"])]
            overlaps = box_iou(target["boxes"], best[:, :4])
            assert (overlaps.max(dim=1).values > 0.7).all()
            assert torch.equal(best[overlaps.argmax(dim=1), 5].long(), target["labels"])
            if head == "mask_rcnn":
                own = overlaps.argmax(dim=1)
                masks = cut(outputs[3][i, own], best[own, :4])
                truth = target["masks"] > 0
                shared = (masks & truth).sum(dim=(1, 2)) / (masks | truth).sum(dim=(1, 2))
                assert (shared > 0.6).all()


def masks_are_those_of_detections(
    n: MeasuredNetwork, wanted: list[list[np.ndarray]], given: list[list[np.ndarray]]
) -> None:
    found, expected = ([np.concatenate(v) for v in zip(*o, strict=True)] for o in (given, wanted))
    masks, truth = n.aligned(expected, found)[3], expected[3]
    is_set = truth > 0.01
    assert is_set.mean() > 0.01
    # A pixel at the border of its box may change altogether.
    assert (np.abs(masks - truth) > 1e-3)[is_set].mean() < 0.01


def cut(masks: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
    """Return masks ``(K, S, S)`` as a person gets them: enlarged, and cut at their boxes."""
    whole = F.interpolate(masks[None], scale_factor=STRIDE, mode="bilinear")[0] > 0.5
    places = torch.arange(SIDE) + 0.5
    x1, y1, x2, y2 = boxes[..., None].unbind(dim=1)
    across, down = (places > x1) & (places < x2), (places > y1) & (places < y2)
    return whole & across[:, None, :] & down[:, :, None]


def two_images() -> tuple[torch.Tensor, list[dict[str, torch.Tensor]]]:
    """Return noise with squares and discs of one color each."""
    pixels, targets = 0.1 * images(2), []
    places = torch.arange(SIDE) + 0.5
    for i in range(2):
        boxes, masks = [], []
        for k, (x, y) in enumerate(((6, 6), (30, 10), (12, 34))):
            side = 12 + 4 * ((i + k) % 3)
            left, top = x + 2 * i, y + i
            box = torch.tensor([left, top, left + side, top + side], dtype=torch.float32)
            from_center = (places - (left + side / 2)) ** 2 + (
                places[:, None] - (top + side / 2)
            ) ** 2
            mask = torch.zeros(SIDE, SIDE, dtype=torch.bool)
            mask[top : top + side, left : left + side] = True
            if k == 1:
                mask &= from_center <= (side / 2) ** 2
            pixels[i, k, mask] += 2.0
            boxes.append(box)
            masks.append(mask.to(torch.uint8))
        targets.append(
            {"boxes": torch.stack(boxes), "labels": torch.arange(3), "masks": torch.stack(masks)}
        )
    return pixels, targets


def test_proposals_are_those_of_torchvision_filled_up_with_zeros() -> None:
    network = second_stage("faster_rcnn").eval()
    generator = torch.Generator().manual_seed(0)
    n = len(network.anchors)
    objectness = torch.randn(2, n, generator=generator)
    boxes = network.anchors + 4 * torch.randn(2, n, 4, generator=generator)
    boxes = torch.cat([boxes[..., :2], torch.maximum(boxes[..., 2:], boxes[..., :2] + 1)], dim=2)
    network.rpn._pre_nms_top_n = {"testing": 3 * DETECTIONS}
    network.rpn._post_nms_top_n = {"testing": DETECTIONS}
    expected, _ = network.rpn.filter_proposals(
        boxes, objectness.view(-1, 1), [(SIDE, SIDE)] * 2, network.n_anchors
    )
    found = network.proposals(objectness, boxes)
    assert found.shape == (2, DETECTIONS, 4)
    for one, other in zip(found, expected, strict=True):
        is_box = (one[:, 2:] > one[:, :2]).all(dim=1)
        assert torch.equal(one[is_box], other)
        assert (one[~is_box] == 0).all() or is_box.all()


def test_as_many_proposals_as_ever_where_all_boxes_are_the_same() -> None:
    network = second_stage("faster_rcnn").eval()
    n = len(network.anchors)
    same = torch.tensor([8.0, 8.0, 40.0, 40.0]).expand(1, n, 4)
    found = network.proposals(torch.linspace(0, 1, n)[None], same)
    # One of each level is left; 0.7 is the least overlap that drops a box.
    n_levels = len(network.n_anchors)
    assert PROPOSAL_IOU < 1
    assert torch.equal(found[0, :n_levels], same[0, :n_levels])
    assert (found[0, n_levels:] == 0).all()
    levels = network.backbone(images(1))
    _, scores = network._classified(levels, found)
    assert (scores[0, :n_levels] > 0).all()
    assert (scores[0, n_levels:] == 0).all()


@pytest.mark.parametrize("side", [64, 96, 128, 224, 256, 448, 512])
def test_no_box_of_an_image_belongs_to_a_level_that_is_left_out(side: int) -> None:
    strides = level_strides(side, 4)
    pooled = second_stage("faster_rcnn", input_size=side, finest=4).roi_heads.box_roi_pool
    levels = [int(math.log2(strides[int(name)])) for name in pooled.featmap_names]
    whole = torch.tensor([[0.0, 0.0, side, side]])
    belongs = LevelMapper(2, 6)([whole])
    assert belongs + 2 == min(max(levels), 6)
    assert levels == list(range(2, max(levels) + 1))


@pytest.mark.parametrize(
    ("side", "finest", "strides"),
    [(64, 8, (8, 16, 32)), (64, 4, (4, 8, 16, 32)), (96, 8, (8, 16, 32)), (32, 16, (16,))],
)
def test_levels_halve_as_long_as_there_are_two_cells(
    side: int, finest: int, strides: tuple[int, ...]
) -> None:
    assert level_strides(side, finest) == strides


def test_pasted_masks_are_those_of_torchvision() -> None:
    side, cells = 128, 2 * MASK_CELLS
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 6, 5, 5, generator=generator)
    masks = F.interpolate(coarse, (cells, cells), mode="bilinear")
    boxes = torch.tensor(
        [
            *((3.0, 5.0, 60.0, 90.0), (10.5, 20.25, 40.75, 50.5), (0.0, 0.0, 128.0, 128.0)),
            *((100.0, 90.0, 128.0, 120.0), (64.0, 2.0, 120.0, 20.0), (30.0, 30.0, 62.0, 61.0)),
        ]
    )
    found = paste(masks, boxes[None], side)[0]
    whole = paste_masks_in_image(masks[0, :, None], boxes, (side, side))[:, 0]
    expected = F.avg_pool2d(whole, STRIDE)
    for mask, other, box in zip(found, expected, boxes, strict=True):
        # Inside, where neither a margin nor a border cut through a pixel.
        x1, y1 = (math.ceil(v / STRIDE) + 1 for v in box[:2].tolist())
        x2, y2 = (math.floor(v / STRIDE) - 1 for v in box[2:].tolist())
        inside = (slice(y1, y2), slice(x1, x2))
        assert mask[inside].numel() > 4
        assert (mask[inside] - other[inside]).abs().max() < 0.1
        assert (mask[inside] - other[inside]).abs().mean() < 0.04


def test_a_mask_is_0_beside_its_box_and_keeps_its_border_in_a_margin() -> None:
    masks = torch.full((1, 2, 28, 28), 0.75)
    boxes = torch.tensor([[[16.0, 24.0, 40.0, 48.0], [0.0, 0.0, 0.0, 0.0]]])
    [[filled, empty]] = paste(masks, boxes, SIDE)
    expected = torch.zeros(SIDE // STRIDE, SIDE // STRIDE)
    expected[24 // STRIDE - 1 : 48 // STRIDE + 1, 16 // STRIDE - 1 : 40 // STRIDE + 1] = 0.75
    assert torch.allclose(filled, expected)
    assert (empty == 0).all()
