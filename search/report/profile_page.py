"""The profile of a dataset as one HTML page that carries everything it shows."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from typing import Any

import numpy as np
from markupsafe import Markup
from PIL import Image, ImageDraw

from archfront.search.profile.dataset_profile import DatasetProfile
from archfront.search.profile.faults import ImageRef, SmallObject
from archfront.search.report import page_figure
from archfront.search.report.page_template import page_template
from archfront.search.report.profile_figure import profile_figures
from archfront.search.report.profile_text import profile_rows
from archfront.trainers.data.image_files import PixelLimit
from archfront.trainers.data.raw import RawData, RawSample
from archfront.trainers.data.shrunk import Shrunk, read_shrunk
from archfront.trainers.data.targets import IGNORED, Mask, Objects
from archfront.trainers.errors import DataError
from archfront.trainers.words import shortened

TEMPLATE = "profile.html.j2"
THUMB_PX, CROP_PX = 160, 112
SHOWN_CLASSES, SHOWN_GROUPS = 12, 6
TINT = 0.5  # share of a class's color over the image
# A small object is shown with so much around it, in its own sides, and at least so many pixels.
AROUND, AROUND_PX = 4.0, 48.0


@dataclass(frozen=True)
class Picture:
    """An image of the page: its data URI, and what stands below it."""

    source: str
    caption: str


@dataclass(frozen=True)
class Images:
    """The images of a dataset, to be shown in small.

    Attributes:
        raw: What the reader gave.
        limit: How large an image may be.
        color: Returns the color of a class.
    """

    raw: RawData
    limit: PixelLimit
    color: Callable[[int], tuple[int, int, int]]

    @cached_property
    def samples(self) -> dict[str, RawSample]:
        """Return the images by name."""
        return {sample.name: sample for some in self.raw.parts.values() for sample in some}

    def pictures(self, refs: Iterable[ImageRef], *, is_marked: bool = False) -> list[Picture]:
        """Return images in small; without those that can no longer be read.

        Args:
            refs: Which images.
            is_marked: Whether boxes and masks are drawn into them.
        """
        found = []
        for ref in refs:
            small = self._small(ref, THUMB_PX)
            if small is not None:
                image = Image.fromarray(
                    np.broadcast_to(small.pixels, (*small.pixels.shape[:2], 3))
                )
                if is_marked:
                    image = self._marked(image, small, self.samples[ref.name])
                caption = f"{shortened(ref.name, 40)} ({ref.split})"
                found.append(Picture(_data_uri(image), caption))
        return found

    def crops(self, objects: Sequence[SmallObject]) -> list[Picture]:
        """Return small objects with what is around them, their boxes drawn."""
        found = []
        for one in objects:
            whole = self._small(one.image, 1 << 20)
            if whole is None:
                continue
            x1, y1, x2, y2 = one.box
            half = max(AROUND * max(x2 - x1, y2 - y1), AROUND_PX) / 2
            left, top = (x1 + x2) / 2 - half, (y1 + y2) / 2 - half
            area = (round(left), round(top), round(left + 2 * half), round(top + 2 * half))
            crop = _colored(whole).crop(area).resize((CROP_PX, CROP_PX))
            scale = CROP_PX / (2 * half)
            corners = [(v - o) * scale for v, o in zip(one.box, (left, top) * 2, strict=True)]
            ImageDraw.Draw(crop).rectangle(corners, outline=(230, 60, 30))
            size = f"{x2 - x1:.3g} x {y2 - y1:.3g} px"
            found.append(
                Picture(_data_uri(crop), f"{one.label}, {size}, {shortened(one.image.name, 30)}")
            )
        return found

    def _small(self, ref: ImageRef, side: int) -> Shrunk | None:
        sample = self.samples.get(ref.name)
        try:
            return None if sample is None else read_shrunk(sample.source, side, self.limit)
        except DataError:  # changed since it was looked at
            return None

    def _marked(self, image: Image.Image, small: Shrunk, sample: RawSample) -> Image.Image:
        """Return an image with its boxes or its mask."""
        scale = image.width / small.width
        if isinstance(sample.target, Objects):
            pen = ImageDraw.Draw(image)
            for box, label in zip(sample.target.boxes, sample.target.labels, strict=True):
                x1, y1, x2, y2 = (float(value) * scale for value in box)
                if x2 >= x1 and y2 >= y1:
                    pen.rectangle((x1, y1, x2, y2), outline=self.color(int(label)))
        if isinstance(sample.target, Mask):
            try:
                indices = sample.target.indices()
            except DataError:
                return image
            shown = np.asarray(
                Image.fromarray(indices).resize(image.size, Image.Resampling.NEAREST)
            )
            colors = np.array([self.color(label) for label in range(256)], np.float32)
            share = np.where((shown == IGNORED) | (shown == 0), 0, TINT)[..., None]
            mixed = np.asarray(image) * (1 - share) + colors[shown] * share
            return Image.fromarray(mixed.astype(np.uint8))
        return image


def render_profile(profile: DatasetProfile, images: Images) -> str:
    """Return the profile as one HTML page that loads nothing from anywhere."""
    examples = profile.examples
    counts = profile.per_class
    names = sorted(examples.per_class, key=lambda name: -counts[name])
    if len(names) > SHOWN_CLASSES:
        names = [*names[: SHOWN_CLASSES // 2], *names[-SHOWN_CLASSES // 2 :]]
    return page_template(TEMPLATE).render(
        profile=profile,
        rows=[(word, str(text)) for word, text in profile_rows(profile)],
        faults=[
            (fault, [images.pictures(group) for group in fault.groups[:SHOWN_GROUPS]])
            for fault in profile.faults
        ],
        examples=[
            (name, images.pictures(examples.per_class[name], is_marked=True)) for name in names
        ],
        n_hidden=len(examples.per_class) - len(names),
        smallest=images.crops(examples.smallest),
        unlike=images.pictures(examples.unlike),
        figures=_figures(profile),
        numbers=profile.meta_features(),
        plotly=Markup(page_figure.plotly_code()),
    )


def _figures(profile: DatasetProfile) -> dict[str, list[tuple[str, Any]]]:
    """Return the figures of each section as parts of the page."""
    return {
        section: [
            (title, Markup(page_figure.to_div(draw(), f"{section}-{number}")))
            for number, (title, draw) in enumerate(drawn)
        ]
        for section, drawn in profile_figures(profile).items()
    }


def _colored(small: Shrunk) -> Image.Image:
    return Image.fromarray(np.broadcast_to(small.pixels, (*small.pixels.shape[:2], 3)))


def _data_uri(image: Image.Image) -> str:
    file = BytesIO()
    image.save(file, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{b64encode(file.getvalue()).decode()}"
