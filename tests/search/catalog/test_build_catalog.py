"""A row of the catalog is what building the network says, and a failure is its problem."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch

from archfront.search.catalog import Backbone, catalog, timm_version
from archfront.search.catalog import build_catalog as build_module
from archfront.search.catalog.build_catalog import add_fields, build
from archfront.search.catalog.catalog_files import read, write
from archfront.search.catalog.describe import _Uninitialized, describe
from archfront.search.errors import ConfigError
from archfront.trainers.networks.count import count_costs
from archfront.trainers.spec import Architecture, Weights
from archfront.trainers.tasks import TASKS
from tests.support import forked

is_same_timm = pytest.mark.skipif(
    timm.__version__ != timm_version(),
    reason="the catalog was built from another timm than the installed one",
)
# One of each kind: plain, tiny, built for one size, fused blocks, windows, strides of 32 only.
BUILT = [
    "test_resnet",
    "resnet18",
    "vit_tiny_patch16_224",
    "repvgg_a0",
    "levit_128s",
    "swin_tiny_patch4_window7_224",
    "hrnet_w18_small",
    "crossvit_9_240",
]


@pytest.mark.slow
@is_same_timm
@pytest.mark.parametrize("name", BUILT)
def test_a_row_is_what_building_the_network_says(name: str, tmp_path: Path) -> None:
    row = catalog()[name]
    write(tmp_path / "row.csv", build_module._rows([name]), "x")  # rounds as the shipped file
    found = read(tmp_path / "row.csv", {name: row.published})[name]
    assert found == without_fields(row)
    followed = build_module._with_fields(0.0, [found])[0]
    assert followed.receptive_fields == pytest.approx(row.receptive_fields, rel=1e-5)
    params = sum(p.numel() for p in timm.create_model(name, device="meta").parameters())
    assert row.params_m == pytest.approx(params / 1e6, abs=1e-4)
    assert row.input_size == timm.models.get_pretrained_cfg(name).input_size[-1]


@pytest.mark.slow
@is_same_timm
def test_rows_of_siblings_described_together_are_those_of_each_alone(tmp_path: Path) -> None:
    from archfront.search.catalog.catalog_files import write
    from archfront.trainers.networks.meta_cache import MetaCache

    names = ["vit_tiny_patch16_224", "deit_tiny_patch16_224", "test_resnet", "resnet18"]
    with MetaCache():
        rows = [describe(name) for name in names]
    write(tmp_path / "rows.csv", rows, "x")
    published = {name: catalog()[name].published for name in names}
    expected = {name: without_fields(catalog()[name]) for name in names}
    assert read(tmp_path / "rows.csv", published) == expected


@is_same_timm
@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_fields_are_added_to_a_catalog_that_lacks_them(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each row is written when it is known, and what is there stays."""
    monkeypatch.setattr(build_module, "_in_processes", lambda work, chunks, _: map(work, chunks))
    row, path = catalog()[name], tmp_path / "c.csv"
    kept = replace(catalog()["resnet18"], problem="strides: kept")
    write(path, [without_fields(row), kept], timm.__version__)
    found, other = add_fields(path)
    assert list(read(path, {}).values()) == [found, other]
    assert other.problem == "strides: kept"
    assert found.receptive_fields == row.receptive_fields
    assert found.effective_size == row.effective_size == 160
    assert found.effective_fields == pytest.approx(row.effective_fields, abs=2)
    assert found.seen_px(64) <= 64


def test_fields_are_not_added_to_what_is_no_catalog_of_this_timm(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"There is no catalog .*Make it first"):
        add_fields(tmp_path / "none.csv")
    write(tmp_path / "old.csv", [], "0.1")
    with pytest.raises(ConfigError, match=r"from timm 0\.1, and timm .* is installed"):
        add_fields(tmp_path / "old.csv")


def without_fields(row: Backbone) -> Backbone:
    return replace(row, receptive_fields=(), effective_size=None, effective_fields=())


@pytest.mark.slow
def test_a_network_on_the_cpu_is_zeros_but_for_what_it_looks_up() -> None:
    with _Uninitialized():
        network = timm.create_model("swin_tiny_patch4_window7_224")
        layer = torch.nn.Linear(4, 4)
    attention = network.layers[0].blocks[0].attn
    whole = timm.create_model("swin_tiny_patch4_window7_224").layers[0].blocks[0].attn
    assert torch.equal(attention.relative_position_index, whole.relative_position_index)
    assert not attention.qkv.weight.any()
    assert not layer.weight.any()
    assert layer.weight.requires_grad


@pytest.mark.slow
@is_same_timm
@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_byobnet", "repvgg_a0"])
def test_a_space_takes_from_the_catalog_the_heads_that_the_task_says(name: str) -> None:
    task = TASKS["classification"]
    for among in (task.heads, ("avg", "timm"), ("mlp", "gem", "max"), ("gem",)):
        assert catalog()[name].heads_among(among) == task.heads_for(name, among)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("test_resnet", (32, 33), ()),
        ("test_vit", (32, 176), (40,)),
        ("hrnet_w18_small", (64, 96), (72,)),
        ("crossvit_9_240", (240,), (256,)),
    ],
)
def test_the_sizes_of_the_catalog_are_those_that_can_be_built(
    name: str, good: Sequence[int], bad: Sequence[int]
) -> None:
    from archfront.trainers.errors import BuildError

    row, task = catalog()[name], TASKS["classification"]
    for size in good:
        assert row.takes(size)
        task.build(Architecture("classification", name, "timm", size, 10, 3), Weights())
    for size in bad:
        assert not row.takes(size)
        with pytest.raises(BuildError, match=f"{size} px"):
            task.build(Architecture("classification", name, "timm", size, 10, 3), Weights())


@pytest.mark.slow
def test_sizes_of_every_tenth_family_are_those_that_its_networks_take() -> None:
    """Steps that held at a few sizes once did not hold at others (resnetaa34d, coatnet)."""
    rng, task = random.Random(0), TASKS["classification"]
    small: dict[str, Backbone] = {}
    for row in sorted(catalog().values(), key=lambda row: -row.params_m):
        small[row.family] = row
    drawn = rng.sample(sorted(small), len(small) // 10)
    for row in [catalog()["resnetaa34d"], catalog()["coat_tiny"], *map(small.__getitem__, drawn)]:
        sizes = [size for size in range(row.size_min, 256) if row.takes(size)]
        for size in rng.sample(sizes, min(2, len(sizes))):
            a = Architecture("classification", row.name, "timm", size, 10, 3)
            with _Uninitialized():
                task.build(a, Weights())


@pytest.mark.slow
def test_costs_are_those_of_the_fused_network_that_is_measured() -> None:
    task = TASKS["classification"]
    row = catalog()["repvgg_a0"]
    architecture = Architecture("classification", "repvgg_a0", "timm", 64, 1000, 3, fused=True)
    module = task.deploy_module(task.build(architecture, Weights(), dropout=0.0))
    costs = count_costs(module, torch.zeros(1, 3, 64, 64))
    assert row.costs_at(64).macs_g == pytest.approx(costs.macs / 1e9, rel=1e-4)
    assert costs.params / 1e6 < row.params_m


def test_a_network_that_cannot_be_built_is_a_row_with_its_problem(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(name: str, **options: object) -> None:
        raise ValueError(f"{name} never builds; and says so\nat length")

    monkeypatch.setattr(timm, "create_model", broken)
    row = describe("resnet18")
    assert row.problem == "network: ValueError: resnet18 never builds, and says so"
    assert not row.is_built
    assert (row.family, row.tags) == ("resnet", catalog()["resnet18"].tags)


@pytest.mark.slow
def test_what_cannot_be_found_out_is_named_and_the_rest_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    create_model = timm.create_model

    def without_features(name: str, **options: object) -> object:
        if options.get("features_only"):
            raise RuntimeError("no features here")
        return create_model(name, **options)

    monkeypatch.setattr(timm, "create_model", without_features)
    row = describe("test_resnet")
    assert row.problem == "strides: RuntimeError: no features here"
    assert row.is_built
    assert row.strides == ()
    assert row.heads == catalog()["test_resnet"].heads


def test_a_licence_that_timm_does_not_name_is_the_default_of_its_cards() -> None:
    import inspect

    from timm.models import _hub

    from archfront.search.catalog.describe import DEFAULT_LICENCE

    assert f"model_card.get('license', '{DEFAULT_LICENCE}')" in inspect.getsource(_hub)
    assert catalog()["res2net50d"].licence()


def _dying(names: Sequence[str]) -> list[object]:
    """Stand for a build whose process dies at one name."""
    if "test_vit" in names:
        os._exit(9)
    return [describe(name) for name in names]


@pytest.mark.slow
def test_a_process_that_dies_costs_its_row_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["test_convnext", "test_resnet", "test_vit"]
    monkeypatch.setattr(timm, "list_models", lambda: names)
    monkeypatch.setattr(build_module, "_rows", _dying)
    # Five processes, none of which need import timm.
    monkeypatch.setattr(build_module, "get_context", lambda method: forked.context())
    seen: list[tuple[int, int]] = []
    rows = build(tmp_path / "c.csv", workers=2, progress=lambda *counts: seen.append(counts))
    assert [row.name for row in rows] == names
    assert [row.problem for row in rows] == ["", "", "network: the process that built it died"]
    assert seen[-1] == (3, 3)
    if timm.__version__ == timm_version():
        again = read(tmp_path / "c.csv", {})
        for name in names[:2]:
            assert again[name].costs == catalog()[name].costs
