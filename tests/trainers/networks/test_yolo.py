from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from archfront.trainers.errors import BuildError
from archfront.trainers.networks.detectors.assign import (
    Places,
    Truth,
    assign,
    gathered,
    pair_iou,
)
from archfront.trainers.networks.detectors.masks import mask_loss, masks_of, shrunk
from archfront.trainers.networks.detectors.yolo import Yolo
from archfront.trainers.spec import Architecture, Weights
from archfront.trainers.tasks import TASKS

PLACES = Places((8, 4, 2), (8, 16, 32))
SIDE = 64


def architecture(head: str = "yolo", **changes: object) -> Architecture:
    plain = {
        "task": "instance" if head == "yolo_mask" else "detection",
        "backbone": "test_resnet",
        "head": head,
        "input_size": SIDE,
        "classes": 2,
        "channels": 3,
        "neck": "pan",
        "width": 16,
        "depth": 1,
        "finest": 8,
    }
    return Architecture(**{**plain, **changes})


def predictions(
    seed: int, truth: Truth, *, n_images: int, classes: int
) -> tuple[torch.Tensor, ...]:
    """Return boxes of which half are near to an object, class logits and objectness."""
    generator = torch.Generator().manual_seed(seed)
    corners, strides = PLACES.corners(torch.zeros(1))
    centers = (corners + torch.rand(n_images, len(PLACES), 2, generator=generator)) * strides
    halves = strides * torch.rand(n_images, len(PLACES), 2, generator=generator) * 2
    boxes = torch.cat([centers - halves, centers + halves], dim=-1)
    if len(truth.labels):
        picked = torch.randint(len(truth.labels), (n_images, len(PLACES)), generator=generator)
        noise = 4 * torch.randn(n_images, len(PLACES), 4, generator=generator)
        is_near = torch.rand(n_images, len(PLACES), 1, generator=generator) < 0.5
        boxes = torch.where(is_near, truth.boxes[picked] + noise, boxes)
    logits = torch.randn(n_images, len(PLACES), classes, generator=generator)
    return boxes, logits, torch.randn(n_images, len(PLACES), generator=generator)


def drawn_truth(seed: int, counts: list[int], classes: int) -> Truth:
    rng = np.random.default_rng(seed)
    targets = []
    for count in counts:
        corners = rng.uniform(0, SIDE - 4, (count, 2))
        far = (corners + np.exp(rng.uniform(np.log(3), np.log(60), (count, 2)))).clip(max=SIDE)
        boxes = torch.from_numpy(np.concatenate([corners, far], axis=1)).float()
        targets.append(
            {"boxes": boxes, "labels": torch.from_numpy(rng.integers(0, classes, count))}
        )
    return gathered(targets, torch.zeros(1))


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def iou(one: list[float], other: list[float]) -> float:
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(across, 0) * max(down, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / (areas[0] + areas[1] - shared)


def literally(
    boxes: torch.Tensor, logits: torch.Tensor, objectness: torch.Tensor, truth: Truth
) -> dict[int, int]:
    """Return the object of each place that has one, as the paper tells it, one by one."""
    corners, strides = PLACES.corners(boxes)
    n = len(PLACES)
    bids: dict[int, list[tuple[float, int]]] = {}
    for g, box in enumerate(truth.boxes.tolist()):
        image, label = int(truth.images[g]), int(truth.labels[g])
        center = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        costs, ious = {}, []
        for a in range(n):
            stride = float(strides[a])
            place = [(float(corners[a, i]) + 0.5) * stride for i in range(2)]
            # Its center region has a fixed size.
            if any(abs(place[i] - center[i]) >= 1.5 * stride for i in range(2)):
                continue
            overlap = iou(boxes[image, a].tolist(), box)
            ious.append(overlap)
            class_loss = 0.0
            for c in range(logits.shape[2]):
                root = math.sqrt(
                    sigmoid(float(logits[image, a, c])) * sigmoid(float(objectness[image, a]))
                )
                class_loss -= math.log(root if c == label else 1 - root)
            # Equation 1, with lambda 3.
            costs[a] = class_loss + 3 * -math.log(overlap + 1e-8)
        k = max(1, int(sum(sorted(ious, reverse=True)[:10])))
        for a in sorted(costs, key=lambda a: costs[a])[:k]:
            bids.setdefault(image * n + a, []).append((costs[a], g))
    return {place: min(offers)[1] for place, offers in bids.items()}


@pytest.mark.parametrize("seed", range(8))
def test_places_are_assigned_as_the_paper_says(seed: int) -> None:
    counts = [[3, 0, 5], [1], [0, 12], [25, 25]][seed % 4]
    truth = drawn_truth(seed, counts, classes=3)
    predicted = predictions(seed, truth, n_images=len(counts), classes=3)
    found = assign(*predicted, truth, PLACES)
    pairs = dict(zip(found.places.tolist(), found.objects.tolist(), strict=True))
    assert pairs == literally(*predicted, truth)
    assert len(pairs) == len(found.places)
    assert found.places.tolist() == sorted(pairs)
    own = predicted[0].flatten(0, 1)[found.places]
    assert torch.allclose(found.ious, pair_iou(own, truth.boxes[found.objects]))


def test_a_batch_without_objects_has_no_places() -> None:
    truth = drawn_truth(0, [0, 0], classes=3)
    found = assign(*predictions(0, truth, n_images=2, classes=3), truth, PLACES)
    assert found.places.shape == found.objects.shape == found.ious.shape == (0,)


def test_two_objects_of_one_place_share_it_out() -> None:
    boxes = torch.tensor([[20.0, 20, 44, 44], [20, 20, 44, 44]])
    truth = Truth(boxes, torch.tensor([0, 1]), torch.zeros(2, dtype=torch.int64))
    found = assign(*predictions(3, truth, n_images=1, classes=2), truth, PLACES)
    assert len(set(found.places.tolist())) == len(found.places)
    assert set(found.objects.tolist()) == {0, 1}


def test_many_objects_take_little_time() -> None:
    import time

    truth = drawn_truth(1, [300] * 8, classes=3)
    predicted = predictions(1, truth, n_images=8, classes=3)
    assign(*predicted, truth, PLACES)
    started = time.process_time()
    assign(*predicted, truth, PLACES)
    assert time.process_time() - started < 0.5


@pytest.mark.parametrize("head", ["yolo", "yolo_mask"])
class TestHeads:
    def test_a_batch_without_objects_can_be_learned(self, head: str) -> None:
        task, a = TASKS["instance"], architecture(head)
        model = TASKS[a.task].build(a, Weights())
        empty = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
        empty["masks"] = torch.zeros(0, SIDE, SIDE, dtype=torch.uint8)
        losses = model.losses(task.example(a, 2, 0), [empty, empty])
        sum(losses.values()).backward()
        assert losses["box"] == losses["class"] == 0
        assert losses["objectness"] > 0
        assert all(p.grad is not None for p in model.parameters())

    @pytest.mark.parametrize(("finest", "sides"), [(8, (8, 4, 2)), (4, (16, 8, 4))])
    @pytest.mark.parametrize("neck", ["none", "fpn", "pan"])
    def test_places_lie_on_three_levels(
        self, head: str, neck: str, finest: int, sides: tuple[int, ...]
    ) -> None:
        a = architecture(head, finest=finest, neck=neck)
        model = TASKS[a.task].build(a, Weights()).eval()
        outputs = TASKS[a.task].predict(model, torch.zeros(2, 3, SIDE, SIDE))
        n_places = sum(side * side for side in sides)
        assert outputs["boxes"].shape == (2, n_places, 4)
        assert outputs["scores"].shape == (2, n_places, 2)
        assert outputs["detections"].shape == (2, 100, 6)
        if head == "yolo_mask":
            assert outputs["masks"].shape == (2, 100, SIDE // 4, SIDE // 4)

    def test_stages_without_a_level_are_not_built(self, head: str) -> None:
        task = TASKS[architecture(head).task]
        fine = task.build(architecture(head, finest=4), Weights())
        assert fine.network.neck.pyramid.strides == (4, 8, 16)
        deep = task.build(architecture(head), Weights())
        assert deep.network.neck.pyramid.strides == (8, 16, 32)
        sizes = [sum(p.numel() for p in m.network.neck.pyramid.parameters()) for m in (fine, deep)]
        assert sizes[0] < sizes[1]

    def test_few_objects_are_expected_at_first(self, head: str) -> None:
        a = architecture(head)
        model = TASKS[a.task].build(a, Weights()).eval()
        scores = TASKS[a.task].predict(model, torch.randn(2, 3, SIDE, SIDE))["scores"]
        assert scores.mean().item() == pytest.approx(0.01 / 2, rel=0.2)


def test_boxes_are_around_their_cells() -> None:
    model = TASKS["detection"].build(architecture(), Weights())
    network = model.network
    assert isinstance(network, Yolo)
    located = torch.zeros(1, len(PLACES), 5)
    located[0, 9, :2] = torch.tensor([0.25, -0.5])
    located[0, 9, 2:4] = torch.tensor([2.0, 3.0]).log()
    boxes = network._boxes(located)[0]
    assert boxes[0].tolist() == [0, 0, 8, 8]
    assert boxes[-1].tolist() == [32, 32, 64, 64]
    # Column 1 and row 1 of stride 8: its center at 12, moved by 2 and -4; 16 x 24 pixels.
    assert boxes[9].tolist() == pytest.approx([14 - 8, 8 - 12, 14 + 8, 8 + 12])


def test_a_finest_level_that_the_backbone_lacks_is_refused() -> None:
    with pytest.raises(BuildError, match="A level of stride 1 is needed"):
        TASKS["detection"].build(architecture(finest=1), Weights())


def test_a_neck_that_is_none_is_refused() -> None:
    with pytest.raises(BuildError, match=r"neck takes pan, fpn, none; got bifpn\.$"):
        TASKS["detection"].build(architecture(neck="bifpn"), Weights())


def test_masks_are_cut_at_their_boxes() -> None:
    prototypes = torch.full((1, 32, 16, 16), 5.0)
    coefficients = torch.full((1, 2, 32), 3.0)
    detections = torch.tensor([[[16.0, 8, 48, 24, 0.9, 1], [0, 0, 0, 0, 0, 0]]])
    masks = masks_of(prototypes, coefficients, detections)
    assert masks.shape == (1, 2, 16, 16)
    # Cells 4 to 11 and 2 to 5, and one more on each side.
    inside = torch.zeros(16, 16, dtype=torch.bool)
    inside[1:7, 3:13] = True
    assert torch.equal(masks[0, 0] > 0, inside)
    assert not masks[0, 1].any()


def test_masks_are_sums_of_prototypes() -> None:
    prototypes = torch.rand(1, 32, 4, 4)
    coefficients = torch.randn(1, 1, 32)
    masks = masks_of(prototypes, coefficients, torch.tensor([[[0.0, 0, 16, 16, 1, 0]]]))
    expected = torch.einsum("phw,p->hw", prototypes[0], coefficients[0, 0].tanh()).sigmoid()
    assert torch.allclose(masks[0, 0], expected)


def test_a_mask_is_shrunk_by_majority() -> None:
    mask = torch.zeros(1, 8, 8, dtype=torch.uint8)
    mask[0, :2, :4] = 1  # half of a cell
    mask[0, 4:5, :4] = 1  # a quarter
    assert shrunk(mask).tolist() == [[[1, 0], [0, 0]]]


def test_right_masks_cost_nothing_and_wrong_ones_much() -> None:
    boxes = torch.tensor([[0.0, 0, 16, 16]])
    truth = Truth(boxes, torch.tensor([0]), torch.tensor([0]))
    masks = torch.zeros(1, 32, 32, dtype=torch.uint8)
    masks[0, :16, :8] = 1
    prototypes = torch.zeros(1, 32, 8, 8)
    prototypes[0, 0] = torch.where(shrunk(masks)[0] > 0, 50.0, 0.0)
    prototypes[0, 1] = 50.0 - prototypes[0, 0]
    predicted = predictions(0, truth, n_images=1, classes=1)
    found = assign(*predicted, truth, PLACES)
    right = torch.zeros(1, len(PLACES), 32)
    right[..., 0], right[..., 1] = 9.0, -9.0
    targets = [{"boxes": boxes, "labels": truth.labels, "masks": masks}]
    assert mask_loss(prototypes, right, targets, truth, found) < 1e-6
    assert mask_loss(prototypes, -right, targets, truth, found) > 100
