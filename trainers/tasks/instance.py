"""The objects of an image as masks: what is other than with boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from archfront.trainers.spec import Architecture
from archfront.trainers.tasks.detection import Detection

if TYPE_CHECKING:
    import torch

    from archfront.trainers.data.preprocess import Preprocess
    from archfront.trainers.data.targets import TargetKind
    from archfront.trainers.data.verify import Sample
    from archfront.trainers.tasks.protocol import Evaluator


@dataclass(frozen=True)
class Instance(Detection):
    """The task protocol for images whose objects have outlines.

    Attributes:
        heads: ``yolo_mask`` is ours, ``mask_rcnn`` is torchvision's.
        metrics: Average precision by the IoU of masks; ``box_map50`` is by that of boxes.
        output_names: Those of boxes, and masks from 0 to 1 of the detections,
            ``(N, D, S/4, S/4)``, 0 beside their boxes. A rounding error of a box moves whole
            pixels of them across its border, so that they are not compared.
        compared: All but the masks.
    """

    heads: tuple[str, ...] = ("yolo_mask", "mask_rcnn")
    metrics: tuple[str, ...] = ("map", "map50", "map75", "box_map50")
    output_names: tuple[str, ...] = ("boxes", "scores", "detections", "masks")
    target: TargetKind = "outlines"
    compared: tuple[str, ...] = ("boxes", "scores", "detections")

    def example_targets(
        self, architecture: Architecture, batch_size: int, seed: int
    ) -> list[dict[str, torch.Tensor]]:
        """Return boxes with labels, and masks that fill them."""
        import torch

        targets = super().example_targets(architecture, batch_size, seed)
        places = torch.arange(architecture.input_size) + 0.5
        for target in targets:
            x1, y1, x2, y2 = target["boxes"][..., None].unbind(dim=1)
            across = (places > x1) & (places < x2)
            down = (places > y1) & (places < y2)
            target["masks"] = (down[:, :, None] & across[:, None, :]).to(torch.uint8)
        return targets

    def decode(self, outputs: Mapping[str, NDArray[Any]]) -> list[dict[str, NDArray[Any]]]:
        """Return the objects as for boxes, with ``masks (K, S/4, S/4)`` bool."""
        decoded = super().decode(outputs)
        pairs = zip(decoded, outputs["detections"], outputs["masks"], strict=True)
        return [{**found, "masks": masks[rows[:, 4] > 0] >= 0.5} for found, rows, masks in pairs]

    def evaluator(
        self, samples: Sequence[Sample], class_names: Sequence[str], preprocess: Preprocess
    ) -> Evaluator:
        """Return the evaluator of outlines at the size of their images, as COCO does."""
        from archfront.trainers.tasks.judges.found import ObjectEvaluator

        return ObjectEvaluator(samples, class_names, preprocess, has_masks=True)
