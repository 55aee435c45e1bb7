"""What cannot run on this machine is told before any image is read."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from archfront.search.commands.run import config_of
from archfront.search.errors import ConfigError
from archfront.search.prepare.prepare import prepare
from archfront.search.study.estimate import Estimate
from archfront.trainers import data
from tests.support.small_study import small_config
from tests.support.textured_images import clean_folder


def test_a_gpu_that_is_not_there_is_told_once_and_before_images_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(data, "load", lambda *_: pytest.fail("images were read"))
    config = small_config(tmp_path, hardware__runtime="eager_cuda", hardware__precision="fp16")
    with pytest.raises(ConfigError, match="'eager_cuda' needs an NVIDIA GPU") as error:
        prepare(config)
    assert len(error.value.problems) == 1
    with pytest.raises(ConfigError, match="'eager_cuda' needs an NVIDIA GPU"):
        next(Estimate(config).lines())
    assert list(tmp_path.iterdir()) == []


def test_the_space_knows_the_side_of_a_usual_object(tmp_path: Path) -> None:
    words = ["task=detection", "data=shapes", "data.shapes.images=20", "space.weights=none"]
    words += ["space.backbones=[test_resnet]", "space.exclude=[]", f"tracking.root={tmp_path}"]
    prepared = prepare(config_of(words))
    objects = prepared.dataset.objects
    assert objects is not None
    assert prepared.space.object_share == objects.side_share.median
    assert 0 < objects.side_share.median < 1


@pytest.mark.parametrize("has_own_val", [True, False])
def test_rules_know_whether_the_data_has_a_validation_split(
    tmp_path: Path, has_own_val: bool
) -> None:
    clean_folder(tmp_path / "data/train", n=6)
    if has_own_val:
        clean_folder(tmp_path / "data/val", n=4)
    words = [f"data.root={tmp_path / 'data'}", "data=folder", "space.weights=none"]
    words += ["space.backbones=[test_resnet]", "space.exclude=[]", f"tracking.root={tmp_path}"]
    prepared = prepare(config_of(words))
    (found,) = (rule for rule in prepared.rules if rule.name == "folds")
    assert ("not as the data divides them" in found.consequence) is has_own_val
