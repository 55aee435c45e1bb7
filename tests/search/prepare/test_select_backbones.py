"""Names of backbones that are none of the catalog lead to those that are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from archfront.search.errors import ConfigError
from archfront.search.prepare.select_backbones import select
from tests.support.small_study import small_config

TIMM = "; give timm's own name, space.backbones"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("hf-hub:timm/resnet18.a1_in1k", f"{TIMM}=resnet18, whose weights"),
        ("hf_hub:timm/resnet18", f"{TIMM}=resnet18, whose weights"),
        ("timm/resnet18", f"{TIMM}=resnet18, whose weights"),
        ("https://huggingface.co/timm/resnet18", f"{TIMM}=resnet18, whose weights"),
        ("resnet18.a1_in1k", f"{TIMM}=resnet18, whose weights"),
        ("hf-hub:timm/resnett18.a1", " (near: resnet18"),
        (
            "hf-hub:microsoft/resnet-50",
            "; give a network of transformers as space.backbones=hf:microsoft/resnet-50.",
        ),
        ("resnett18", " (near: resnet18"),
    ],
)
def test_a_name_of_another_kind_gets_a_hint(tmp_path: Path, name: str, hint: str) -> None:
    space = replace(small_config(tmp_path).space, backbones=(name,), exclude=())
    with pytest.raises(ConfigError) as caught:
        select(space)
    assert f"no timm architecture is called {name!r}{hint}" in caught.value.problems[0]
