"""Which backbones of the catalog are selected, and what other names lead to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from archfront.search.catalog import catalog
from archfront.search.errors import ConfigError
from archfront.search.prepare.select_backbones import select, selection
from tests.support.small_spaces import space_config
from tests.support.small_study import small_config

TIMM = "; give timm's own name, space.backbones"


def test_selection_keeps_the_catalogs_order_and_excludes() -> None:
    config = space_config(backbones=("resnet34", "resnet1*"), exclude=("resnet1??*", "*.a1"))
    names = [row.name for row in select(config)]
    assert names == ["resnet18", "resnet34"]


def test_a_pattern_that_matches_nothing_is_named_with_the_nearest() -> None:
    config = space_config(backbones=("resnet18", "resnet19", "zzz*", "mobilnetv3_*"))
    with pytest.raises(ConfigError, match=r"no timm architecture is called 'resnet19' \(near: "):
        select(config)
    with pytest.raises(ConfigError) as caught:
        select(config)
    problems = caught.value.problems
    assert [p.split("'")[1] for p in problems] == ["resnet19", "zzz*", "mobilnetv3_*"]
    assert "resnet18" in problems[0]
    assert "near" not in problems[1]
    assert all(f"The catalog has {len(catalog())} of timm" in p for p in problems)


def test_when_everything_is_excluded_the_message_counts() -> None:
    config = space_config(backbones=("resnet18", "resnet34"), exclude=("resnet*",))
    with pytest.raises(ConfigError, match=r"no backbone is left: 2 excluded by space\.exclude\."):
        select(config)


def test_families_are_patterns_of_timms_modules() -> None:
    config = space_config(backbones=("resnet18", "mobilenetv3_*_050"), families=("mobile*",))
    assert {row.family for row in select(config)} == {"mobilenetv3"}
    with pytest.raises(ConfigError, match=r"families: Unknown family 'resnett'\. Did you mean"):
        select(space_config(families=("resnett", "resnet")))


def test_licences_are_those_of_the_weights_that_are_used() -> None:
    names = ("resnet18", "vit_base_patch16_clip_224", "mobileone_s0")
    licensed = space_config(backbones=names, licences=("apache-2.0",))
    assert len(select(licensed)) == 3  # random weights have no licence
    found = selection(replace(licensed, weights="pretrained"))
    assert [row.name for row in found.backbones] == ["resnet18", "vit_base_patch16_clip_224"]
    assert found.left_out == {"whose weights are not of space.licences=apache-2.0": 1}
    with pytest.raises(ConfigError, match=r"licences: Unknown license 'apache'\. Did you mean"):
        select(replace(licensed, licences=("apache",)))


def test_what_selection_leaves_out_counts_for_one_reason() -> None:
    names = ("resnet18", "resnet50", "test_*")
    found = selection(space_config(backbones=names, exclude=("test_*",), params_m_max=20))
    assert [row.name for row in found.backbones] == ["resnet18"]
    n_test = len([name for name in catalog() if name.startswith("test_")])
    assert found.left_out == {"excluded by space.exclude": n_test, "over space.params_m_max=20": 1}


def test_the_largest_backbone_is_a_limit() -> None:
    config = space_config(backbones=("resnet18", "resnet50"))
    assert [r.name for r in select(replace(config, params_m_max=12))] == ["resnet18"]
    both = [r.name for r in select(replace(config, params_m_max=catalog()["resnet50"].params_m))]
    assert both == ["resnet18", "resnet50"]
    with pytest.raises(ConfigError, match=r"is left: 2 over space\.params_m_max=1\. Widen"):
        select(replace(config, params_m_max=1))


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
