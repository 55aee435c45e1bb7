"""Semantic segmentation: rules, networks, and the chain from a training to a score."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch

from archfront.search.catalog import catalog
from archfront.search.catalog.describe import _Uninitialized
from archfront.search.latency.key import MeasureSettings
from archfront.search.latency.measure import measure_architecture
from archfront.search.prepare.build_space import build_space
from archfront.trainers.data import READERS
from archfront.trainers.data.raw import RawData, RawSample
from archfront.trainers.data.readers import Reader
from archfront.trainers.data.ref import DataRef
from archfront.trainers.data.targets import IGNORED, Mask
from archfront.trainers.errors import BuildError, ConfigError
from archfront.trainers.networks.backbone import build_backbone, family_and_strides
from archfront.trainers.networks.segmenters.network import Segmenter
from archfront.trainers.networks.task_network import Deployed
from archfront.trainers.networks.undrawn import Undrawn
from archfront.trainers.spec import Architecture, Recipe, TrainSettings, Weights
from archfront.trainers.tasks import TASKS
from archfront.trainers.tasks.pyramids import DILATING, UNPADDED
from archfront.trainers.tasks.semantic import DILATED, GRIDS
from archfront.trainers.training.precision import precision_probe
from archfront.trainers.training.proxy import train
from archfront.trainers.training.scoring import score
from tests.support.configurations import changed, problems
from tests.support.drawn_images import REF
from tests.support.small_spaces import space_config

TASK = TASKS["semantic"]
SETTINGS = TrainSettings("miou", 1, 1, 0, 0.0, "one_cycle", "fp32", 1, loss="ce_dice")


def network(backbone: str = "test_resnet", head: str = "unet", **changes: object) -> Architecture:
    grid = GRIDS.get(head, GRIDS["unet"])
    plain = {
        "task": "semantic",
        "backbone": backbone,
        "head": head,
        "input_size": grid.size_min if grid.size_min > 32 else 32,
        "classes": 3,
        "channels": 3,
        "width": 32 if grid.width else 0,
        "depth": 3 if grid.depth else 0,
    }
    return Architecture(**{**plain, **changes})


def test_a_plain_transformer_carries_no_head_and_says_why() -> None:
    vit = catalog()["vit_tiny_patch16_224"]
    for head in TASK.heads:
        reason = TASK.misfit(head, vit.family, vit.strides)
        assert reason == "needs maps of strides 4, 8, 16, 32, and the backbone's are 16"
    assert TASK.heads_for("test_vit") == ()


def test_heads_that_dilate_sit_on_families_that_can() -> None:
    assert TASK.heads_for("test_resnet") == TASK.heads
    left = set(TASK.heads) - set(TASK.heads_for("fastvit_t8"))
    assert left == DILATED
    reason = TASK.misfit("pan", "fastvit", (4, 8, 16, 32))
    assert reason == "needs a dilated last stage, which timm's fastvit does not have"


def smallest_networks() -> dict[str, str]:
    """Return the smallest network by family, of those with the strides that heads need."""
    rows = [row for row in catalog().values() if {4, 8, 16, 32} <= set(row.strides)]
    return {row.family: row.name for row in sorted(rows, key=lambda row: -row.params_m)}


@pytest.mark.slow
def test_the_families_without_padding_are_those_whose_maps_are_smaller() -> None:
    smaller = set()
    for family, name in smallest_networks().items():
        row = catalog()[name]
        size = next(s for s in (64, 96, 128, 224, 256, 192, 32, 384, 1024) if row.takes(s))
        try:
            with _Uninitialized():
                build_backbone(name, channels=1, input_size=size)
        except BuildError as error:
            if "should be" not in str(error):
                raise
            smaller.add(family)
    assert smaller == UNPADDED


@pytest.mark.slow
def test_the_families_that_dilate_are_those_whose_networks_do() -> None:
    found = set()
    for family, name in smallest_networks().items():
        try:
            options = {"features_only": True, "output_stride": 16, "device": "meta"}
            with Undrawn():
                network = timm.create_model(name, **options)
        except (TypeError, AssertionError, NotImplementedError):
            continue
        if network.feature_info.reduction()[-2:] == [16, 16]:
            found.add(family)
    assert found == DILATING


@pytest.mark.slow
def test_family_and_strides_are_those_of_the_catalog() -> None:
    for name in ("test_resnet", "convnext_atto", "vgg11", "repvit_m0_9", "levit_128s", "dla34"):
        row = catalog()[name]
        assert family_and_strides(name) == (row.family, row.strides)


@pytest.mark.slow
@pytest.mark.parametrize("head", TASK.heads)
@pytest.mark.parametrize(
    "backbone", ["test_convnext", "darknet17", "dla46x_c", "edgenext_xx_small", "ghostnet_050"]
)
def test_unlike_backbones_learn_with_every_part(backbone: str, head: str) -> None:
    row = catalog()[backbone]
    if TASK.misfit(head, row.family, row.strides) is not None:
        assert head in DILATED
        return
    a = network(backbone, head, input_size=max(64, GRIDS[head].size_min))
    model = TASK.build(a, Weights())
    batch = (TASK.example(a, 2, 0), TASK.example_targets(a, 2, 0))
    torch.stack(tuple(TASK.training_step(model, batch, SETTINGS).values())).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.slow
def test_a_shallow_head_leaves_the_last_stages_unbuilt() -> None:
    for backbone in ("test_resnet", "test_efficientnet", "mobilenetv3_small_050"):
        counts = []
        for depth in (3, 4, 5):
            encoder = TASK.build(network(backbone, "linknet", depth=depth), Weights()).encoder
            counts.append(sum(p.numel() for p in encoder.parameters()))
        assert counts[0] < counts[1] < counts[2], backbone


@pytest.mark.slow
def test_a_wider_head_is_heavier() -> None:
    for head in (head for head in TASK.heads if GRIDS[head].width):
        narrow, wide = (TASK.build(network(head=head, width=w), Weights()) for w in (32, 64))
        counts = [sum(p.numel() for p in m.decoder.parameters()) for m in (narrow, wide)]
        assert counts[0] < counts[1], head


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"width": 0}, r"widths takes multiples of 4; got 0"),
        ({"depth": 2}, r"depths takes 3 to 5; got 2"),
        ({"input_size": 40}, r"input_sizes takes multiples of 32; got 40"),
        ({"head": "pan", "input_size": 96}, r"multiples of 32 of at least 128; got 96"),
        ({"backbone": "test_vit"}, r"a map of stride 4 is needed, and the backbone has 16, 16"),
        ({"backbone": "fastvit_t8", "head": "pan"}, r"unexpected keyword argument 'output_stride"),
    ],
)
def test_what_cannot_be_built_is_refused_in_words(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(BuildError, match=reason):
        TASK.build(network(**changes), Weights())


def test_a_configuration_says_which_values_a_head_does_not_take() -> None:
    leaves = {"space__heads": ["fpn", "pan", "unet"], "space__widths": [48, 64]}
    leaves |= {"space__depths": [2, 5], "space__input_sizes": [96, 128]}
    found = problems(changed(task__name="semantic", task__metric="miou", **leaves))
    assert {problem for problem in found if problem.startswith("space.")} == {
        "space.widths: fpn takes multiples of 32; got 48. "
        "Give others, or leave fpn out of space.heads.",
        "space.depths: unet takes 3 to 5; got 2. Give others, or leave unet out of space.heads.",
        "space.input_sizes: pan takes multiples of 32 of at least 128; got 96. "
        "Give others, or leave pan out of space.heads.",
    }


def test_a_space_names_what_it_leaves_out() -> None:
    names = ("resnet10t", "fastvit_t8", "vit_tiny_patch16_224", "inception_v4")
    config = space_config(
        backbones=names, heads=("unet", "pan"), widths=(32, 64), depths=(4,), input_sizes=(224,)
    )
    rows = [catalog()[name] for name in names]
    weights = {name: Weights() for name in names}
    space = build_space(config, rows, weights, task="semantic", classes=3, channels=3)
    shapes = {(a.backbone, a.head, a.width, a.depth) for a in space.architectures}
    assert shapes == {
        ("resnet10t", "unet", 32, 4),
        ("resnet10t", "unet", 64, 4),
        ("resnet10t", "pan", 32, 0),
        ("resnet10t", "pan", 64, 0),
        ("fastvit_t8", "unet", 32, 4),
        ("fastvit_t8", "unet", 64, 4),
    }
    said = "\n".join(space.dropped)
    assert "fastvit_t8: not with pan: needs a dilated last stage" in said
    assert "vit_tiny_patch16_224: has no head of unet, pan: not with unet: needs maps" in said
    assert "inception_v4 are not padded" in said


def test_unknown_heads_and_metrics_are_named() -> None:
    with pytest.raises(ConfigError, match=r"Unknown head 'unett'\. Did you mean 'unet'"):
        TASK.heads_for("test_resnet", ["unett"])
    with pytest.raises(ConfigError, match=r"Unknown metric 'iou'\. Did you mean 'miou'"):
        TASK.chance("iou", [1, 2])
    with pytest.raises(ConfigError, match=r"Unknown metric 'iou'"):
        TASK.resampled("iou", {})


def test_a_fused_network_computes_the_same_with_fewer_parameters() -> None:
    torch.manual_seed(0)
    model = TASK.build(network("repghostnet_050", fused=True), Weights()).eval()
    assert isinstance(model, Segmenter)
    merged = TASK.deploy_module(model)
    images = TASK.example(model.architecture, 2, 0)
    with torch.no_grad():
        assert torch.allclose(TASK.predict(model, images)["logits"], merged(images)[0], atol=1e-4)
    counts = [sum(p.numel() for p in m.parameters()) for m in (model, merged)]
    assert counts[1] < counts[0]
    plain = TASK.build(network(), Weights())
    assert Deployed(plain).model is plain


def test_drawn_masks_have_every_class_and_an_ignored_row() -> None:
    a = network(input_size=64)
    masks = TASK.example_targets(a, 2, 0)
    assert (masks.shape, masks.dtype) == ((2, 64, 64), torch.uint8)
    assert (masks[:, -1] == IGNORED).all()
    assert set(masks[:, :-1].unique().tolist()) == {0, 1, 2}
    assert torch.equal(masks, TASK.example_targets(a, 2, 0))


@pytest.mark.slow
@pytest.mark.parametrize("head", ["unet", "segformer", "deeplabv3plus"])
def test_a_network_is_exported_and_measured(head: str, tmp_path: Path) -> None:
    settings = MeasureSettings("onnxruntime", 1, 1, 2, 5, max_seconds=0.03)
    a = network(head=head, input_size=64)
    found = measure_architecture(a, settings, folder=tmp_path)
    assert found.latency.p50_ms > 0
    assert found.latency.parity is not None
    assert 0 < found.latency.parity < 1e-3
    assert found.macs_g > 0


def read_squares(ref: DataRef) -> RawData:
    """Give images with a bright square on dark ground, of several sizes."""
    samples = []
    for i in range(36):
        rng = np.random.default_rng(i)
        height, width = (int(n) for n in rng.integers(30, 70, 2))
        mask = np.zeros((height, width), np.uint8)
        top, left = (int(n) for n in rng.integers(0, 15, 2))
        mask[top : top + 15, left : left + 15] = 1
        mask[-1] = IGNORED
        noise = rng.integers(0, 60, (height, width, 3))
        pixels = (noise + 150 * (mask == 1)[..., None]).astype(np.uint8)
        samples.append(RawSample(pixels, Mask(mask), f"{i}"))
    return RawData("drawn squares", ("ground", "square"), {"all": tuple(samples)})


SQUARES = replace(REF, reader="squares", train=24, val=8, test=4, target="mask", memory_mb=50)
RECIPE = Recipe(lr=5e-3, weight_decay=0.01, batch_size=8, augment="light", dropout=0.1)


@pytest.fixture
def squares(monkeypatch: pytest.MonkeyPatch) -> DataRef:
    monkeypatch.setitem(READERS, "squares", Reader(read_squares, ("mask",)))  # type: ignore[arg-type]
    return SQUARES


@pytest.mark.slow
def test_a_training_learns_and_its_weights_score_the_same(
    squares: DataRef, tmp_path: Path
) -> None:
    a = network(head="fpn", classes=2)
    settings = replace(SETTINGS, until_epoch=6, horizon=6)
    result = train(a, Weights(), RECIPE, squares, settings, folder=tmp_path)
    assert result.metrics["miou"] > 0.8 > TASK.chance("miou", [3, 1])
    assert {"iou/ground", "iou/square"} <= result.metrics.keys()
    metrics, kept = score(
        a, result.weights, squares, split="val", preprocess_of=Weights(), threads=1
    )
    assert metrics == result.metrics
    saved = np.load(result.predictions)
    assert all(np.array_equal(kept[name], saved[name]) for name in ("images", "confusion", "maps"))
    assert saved["maps"].shape == (8, a.input_size, a.input_size)


def test_precision_can_be_probed() -> None:
    probe = precision_probe(network(), SETTINGS, batch_size=2, rounds=1)
    assert probe.fp32_ms > 0 < probe.bf16_ms
