from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from archfront.trainers.data import Preprocess
from archfront.trainers.data.preprocess import PAD_VALUE
from tests.support.drawn_images import draw

COLOR = Preprocess(16, 3, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
GREY = Preprocess(16, 1, mean=(0.5,), std=(0.25,))


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos"])
def test_squashing_is_pillows_resize_of_the_whole_image(interpolation: str) -> None:
    pixels = draw(0, width=40, height=30)
    preprocess = Preprocess.from_dict({**COLOR.as_dict(), "interpolation": interpolation})
    expected = Image.fromarray(pixels).resize(
        (16, 16), getattr(Image.Resampling, interpolation.upper())
    )
    assert np.array_equal(preprocess(pixels).permute(1, 2, 0).numpy(), np.asarray(expected))


def test_cropping_takes_the_central_square() -> None:
    pixels = draw(0, width=48, height=16)
    cropped = replace(COLOR, resize="crop")(pixels)
    assert np.array_equal(cropped.permute(1, 2, 0).numpy(), pixels[:, 16:32])


def test_an_image_of_the_right_size_is_not_touched() -> None:
    pixels = draw(0, width=16, height=16)
    assert np.array_equal(COLOR(pixels).permute(1, 2, 0).numpy(), pixels)


def test_grey_becomes_three_equal_channels_and_color_becomes_grey() -> None:
    grey, color = draw(0, channels=1), draw(0)
    tripled = COLOR(grey)
    assert tripled.shape == (3, 16, 16)
    assert torch.equal(tripled, GREY(grey).expand(3, -1, -1))
    assert torch.equal(GREY(color), GREY(Image.fromarray(color).convert("L")))


def test_grey_pixels_with_and_without_a_channel_axis_are_the_same() -> None:
    grey = draw(0, channels=1)
    assert torch.equal(GREY(grey), GREY(grey[..., None]))


def test_a_pillow_image_and_its_pixels_give_the_same() -> None:
    pixels = draw(1, width=33, height=21)
    assert torch.equal(COLOR(Image.fromarray(pixels)), COLOR(pixels))


def test_normalize_agrees_with_torchvision() -> None:
    images = torch.stack([COLOR(draw(seed)) for seed in range(4)])
    expected = v2.Compose(
        [v2.ToDtype(torch.float32, scale=True), v2.Normalize(list(COLOR.mean), list(COLOR.std))]
    )(images)
    torch.testing.assert_close(COLOR.normalize(images), expected, rtol=0, atol=2e-6)


def test_normalize_keeps_the_memory_layout() -> None:
    images = torch.stack([COLOR(draw(0))] * 2).contiguous(memory_format=torch.channels_last)
    assert COLOR.normalize(images).is_contiguous(memory_format=torch.channels_last)


def test_the_record_survives_json() -> None:
    record = replace(COLOR, interpolation="bicubic", resize="crop")
    assert Preprocess.from_dict(json.loads(json.dumps(record.as_dict()))) == record


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"channels": 2}, r"self\.channels=2 must be 1 or 3"),
        ({"mean": (0.5,)}, r"need 3 values each"),
        ({"std": (0.2, 0.2, 0.0)}, r"std above 0"),
        ({"interpolation": "cubic"}, r"self\.interpolation='cubic'"),
    ],
)
def test_a_record_that_cannot_be_applied_is_refused(
    change: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Preprocess.from_dict({**COLOR.as_dict(), **change})


class TestPadding:
    @pytest.mark.parametrize(
        ("width", "height", "inside"), [(40, 20, (16, 8)), (20, 40, (8, 16)), (100, 3, (16, 1))]
    )
    def test_an_image_keeps_its_shape_at_the_upper_left(
        self, width: int, height: int, inside: tuple[int, int]
    ) -> None:
        pixels = draw(0, width=width, height=height)
        preprocess = replace(COLOR, resize="pad")
        square = preprocess(pixels).permute(1, 2, 0).numpy()
        expected = Image.fromarray(pixels).resize(inside, Image.Resampling.BILINEAR)
        across, down = preprocess.inside(width, height)
        assert (across, down) == inside
        assert np.array_equal(square[:down, :across], np.asarray(expected))
        assert (square[down:] == PAD_VALUE).all()
        assert (square[:, across:] == PAD_VALUE).all()

    def test_a_grey_image_is_padded_with_the_same_grey(self) -> None:
        square = replace(GREY, resize="pad")(draw(0, width=32, height=16, channels=1))
        assert square.shape == (1, 16, 16)
        assert (square[0, 8:] == PAD_VALUE).all()

    def test_the_scale_is_one_for_pad_and_two_for_squash(self) -> None:
        assert replace(COLOR, resize="pad").scale(40, 20) == (0.4, 0.4)
        assert COLOR.scale(40, 20) == (0.4, 0.8)

    def test_a_cropped_image_has_no_scale(self) -> None:
        with pytest.raises(ValueError, match="pixels without a place"):
            replace(COLOR, resize="crop").scale(40, 20)
