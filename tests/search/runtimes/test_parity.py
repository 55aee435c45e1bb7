"""Parity tells right exports from wrong ones, on networks that were never trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from archfront.search.errors import ParityError
from archfront.search.runtimes import RUNTIMES, LoadSettings, torch_threads
from archfront.search.runtimes.parity import TOLERANCE, check_parity
from archfront.search.runtimes.perturb import draw_images, perturb
from tests.support.parity_sessions import FixedSession, Probabilities

TINY = ["test_resnet", "test_efficientnet", "test_convnext", "test_nfnet", "test_byobnet"]
EXAMPLE = torch.zeros(1, 3, 32, 32)
Change = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small networks on two threads take seconds where another process holds one core."""
    with torch_threads(1):
        yield


class Residual(nn.Module):
    """A block that starts as good as switched off, as layer scale and zeroed norms do."""

    def __init__(self, change: Change) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 8, 3)
        self.branch = nn.Conv2d(8, 8, 3, padding=1)
        self.scale = nn.Parameter(torch.full((8, 1, 1), 1e-6))
        self.head = nn.Linear(8, 5)
        self.change = change
        self.eval().requires_grad_(False)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor]:
        features = self.stem(images).relu()
        features = features + self.scale * self.change(self.branch(features), images)
        return (self.head(features.mean(dim=(2, 3))).softmax(dim=1),)


def lost_when_exported(branch: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    return branch * 0 if torch.onnx.is_in_onnx_export() else branch


def branching_on_data(branch: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    return branch if images.mean() > 0 else branch * -2


def parity_of_onnx(module: nn.Module, folder: Path, example: torch.Tensor = EXAMPLE) -> float:
    batches = torch.split(draw_images(example, 1), len(example))
    settings = LoadSettings(folder, "torchscript", ("probabilities",))
    with RUNTIMES["onnxruntime"].load(module, example, settings) as session:
        return check_parity(module, session, batches)


@pytest.mark.parametrize("name", TINY)
class TestPerturbedNetworks:
    def test_outputs_tell_images_apart_and_are_not_saturated(self, name: str) -> None:
        module, images = Probabilities(name), draw_images(EXAMPLE, 0)
        perturb(module, images, 0)
        with torch.inference_mode():
            (probabilities,) = module(images)
        assert probabilities.isfinite().all()
        assert probabilities.std(dim=0).mean() > 0.03
        assert probabilities.max(dim=1).values.mean() < 0.9
        assert len(set(probabilities.argmax(dim=1).tolist())) >= 3

    def test_no_value_is_so_small_that_the_processor_slows_down(self, name: str) -> None:
        module, images = Probabilities(name), draw_images(EXAMPLE, 0)
        perturb(module, images, 0)
        smallest = torch.finfo(torch.float32).tiny
        shares: list[float] = []

        def share(part: nn.Module, inputs: tuple[torch.Tensor, ...], output: object) -> None:
            if isinstance(output, torch.Tensor):
                is_denormal = (output != 0) & (output.abs() < smallest)
                shares.append(float(is_denormal.float().mean()))

        for part in module.modules():
            part.register_forward_hook(share)
        with torch.inference_mode():
            module(images)
        assert shares
        assert max(shares) == 0
        assert not any(((w != 0) & (w.abs() < smallest)).any() for w in module.parameters())

    def test_the_same_seed_gives_the_same_network_and_another_one_does_not(
        self, name: str
    ) -> None:
        images = draw_images(EXAMPLE, 0)
        found = []
        for seed in (0, 0, 1):
            module = Probabilities(name)
            perturb(module, images, seed)
            with torch.inference_mode():
                found.append(module(images)[0])
        assert torch.equal(found[0], found[1])
        assert not torch.allclose(found[0], found[2], atol=1e-3)

    def test_every_weight_and_statistic_was_drawn(self, name: str) -> None:
        fresh, module = Probabilities(name), Probabilities(name)
        perturb(module, draw_images(EXAMPLE, 0), 0)
        before = fresh.state_dict()
        for key, value in module.state_dict().items():
            if value.is_floating_point():
                assert not torch.equal(value, before[key]), key

    def test_a_right_export_passes(self, name: str, tmp_path: Path) -> None:
        module = Probabilities(name)
        perturb(module, draw_images(EXAMPLE, 0), 0)
        assert parity_of_onnx(module, tmp_path) <= TOLERANCE


@pytest.mark.slow
def test_a_vision_transformer_passes(tmp_path: Path) -> None:
    module = Probabilities("test_vit")
    example = torch.zeros(1, 3, 160, 160)
    perturb(module, draw_images(example, 0), 0)
    assert parity_of_onnx(module, tmp_path, example) <= TOLERANCE


def test_a_batch_is_compared_as_whole_batches(tmp_path: Path) -> None:
    example = torch.zeros(3, 3, 32, 32)
    images = draw_images(example, 0)
    assert len(images) == 9
    module = Probabilities("test_resnet")
    perturb(module, images, 0)
    assert parity_of_onnx(module, tmp_path, example) <= TOLERANCE


def test_a_lost_branch_passes_on_a_fresh_network_and_is_caught_on_a_perturbed_one(
    tmp_path: Path,
) -> None:
    """The reason for perturbing: layer scale starts at 1e-6 and hides what is under it."""
    module = Residual(lost_when_exported)
    assert parity_of_onnx(module, tmp_path) <= TOLERANCE
    perturb(module, draw_images(EXAMPLE, 0), 0)
    with pytest.raises(
        ParityError,
        match=r"^The export differs from eager PyTorch by [\d.e+-]+ of the outputs' spread over "
        r"the images; allowed is 0\.001\.$",
    ):
        parity_of_onnx(module, tmp_path)


def test_a_trace_of_one_side_of_a_branch_on_data_is_caught(tmp_path: Path) -> None:
    module = Residual(branching_on_data)
    perturb(module, draw_images(EXAMPLE, 0), 0)
    with pytest.raises(ParityError, match="differs from eager PyTorch"):
        parity_of_onnx(module, tmp_path)


@pytest.fixture(scope="module")
def judged() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    module, images = Probabilities("test_resnet"), draw_images(EXAMPLE, 0)
    perturb(module, images, 0)
    return module, torch.split(images, 1)


Judged = tuple[nn.Module, tuple[torch.Tensor, ...]]


@pytest.mark.parametrize(("share", "passes"), [(0.5, True), (2.0, False)])
def test_the_tolerance_is_a_share_of_the_spread_over_images(
    judged: Judged, share: float, passes: bool
) -> None:
    module, batches = judged
    with torch.inference_mode():
        spread = float(torch.cat([module(b)[0] for b in batches]).numpy().std(axis=0).mean())
    offset = share * TOLERANCE * spread
    session = FixedSession(lambda images: [module(images)[0] + offset])
    if passes:
        assert check_parity(module, session, batches) == pytest.approx(share * TOLERANCE, rel=0.01)
    else:
        with pytest.raises(ParityError, match=r"by 0\.002 of"):
            check_parity(module, session, batches)


def test_an_export_that_is_not_finite_is_caught(judged: Judged) -> None:
    module, batches = judged
    session = FixedSession(lambda images: [module(images)[0] * torch.nan])
    with pytest.raises(ParityError, match="by nan of"):
        check_parity(module, session, batches)


def test_an_export_of_another_shape_is_caught(judged: Judged) -> None:
    module, batches = judged
    session = FixedSession(lambda images: [module(images)[0][:, :4]])
    with pytest.raises(ParityError, match=r"shapes \(8, 4\), eager PyTorch \(8, 10\)"):
        check_parity(module, session, batches)


def test_an_export_that_lost_an_output_is_caught(judged: Judged) -> None:
    module, batches = judged
    with pytest.raises(ParityError, match=r"shapes none, eager PyTorch \(8, 10\)"):
        check_parity(module, FixedSession(lambda images: []), batches)


class Constant(nn.Module):
    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor]:
        return (torch.ones(len(images), 5),)


class Overflowing(nn.Module):
    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor]:
        return ((images * 1e30).pow(3).mean(dim=(2, 3)),)


class Magnifying(nn.Module):
    """A network that turns rounding errors into large differences, as deep chaotic ones do."""

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor]:
        means = images.mean(dim=(2, 3))
        return ((means + 3e4) - 3e4,)


@pytest.mark.parametrize(
    ("module", "message"),
    [(Constant(), "gives all images the same output"), (Overflowing(), "values that are not fin")],
)
def test_a_network_that_cannot_be_judged_says_so(module: nn.Module, message: str) -> None:
    batches = torch.split(draw_images(EXAMPLE, 0), 1)
    with pytest.raises(ParityError, match=message):
        check_parity(module, FixedSession(module), batches)


def test_a_difference_that_rounding_explains_passes_and_a_larger_one_does_not() -> None:
    module = Magnifying()
    batches = torch.split(draw_images(EXAMPLE, 0), 1)

    def exact(images: torch.Tensor) -> list[torch.Tensor]:
        return [module(images.double())[0].float()]

    assert check_parity(module, FixedSession(exact), batches) > TOLERANCE
    with pytest.raises(ParityError, match="differs from eager PyTorch"):
        check_parity(module, FixedSession(lambda images: [module(images)[0] * 1.2]), batches)


def test_images_differ_in_brightness_and_are_those_of_their_seed() -> None:
    images = draw_images(torch.zeros(1, 1, 8, 8), 3)
    assert images.shape == (8, 1, 8, 8)
    assert images.mean(dim=(1, 2, 3)).std() > 0.2
    assert torch.equal(images, draw_images(torch.zeros(1, 1, 8, 8), 3))
    assert not torch.equal(images, draw_images(torch.zeros(1, 1, 8, 8), 4))
