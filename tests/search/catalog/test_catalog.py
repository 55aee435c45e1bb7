"""The shipped catalog is timm's own list, is read without timm, and agrees with it."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import timm

from archfront.search.catalog import (
    PATH,
    PUBLISHED,
    Backbone,
    Costs,
    Published,
    Tag,
    catalog,
    match,
    near,
    timm_version,
)
from archfront.search.catalog.backbones import TYPICAL
from archfront.search.catalog.catalog_files import read, read_published, write
from archfront.search.catalog.tags import data_of
from archfront.trainers.networks.count import ELEMENT_KINDS, MAC_KINDS
from tests.support.programs import LIGHT, Programs

is_same_timm = pytest.mark.skipif(
    timm.__version__ != timm_version(),
    reason="the catalog was built from another timm than the installed one",
)


def backbone(**changes: object) -> Backbone:
    """Return a row by hand, with some of it changed."""
    row = Backbone(
        name="net",
        family="nets",
        params_m=1.5,
        costs=((64, Costs(0.1, 1.0, 3.0)), (128, Costs(0.4, 4.0, 12.0))),
        heads=(("timm", "avg"), ("max",)),
        tags=(Tag("a1_in1k", "mit"), Tag("", "apache-2.0")),
    )
    return replace(row, **changes)  # type: ignore[arg-type]  # a test's own values


# ------------------------------------------------------------------ what is shipped


@is_same_timm
def test_the_catalog_has_every_timm_name_once_in_timms_order() -> None:
    assert list(catalog()) == timm.list_models()
    lines = PATH.read_text(encoding="utf-8").splitlines()
    assert len(lines) == len(catalog()) + 2  # the version, the names of the columns


@pytest.mark.parametrize("part", ["params_m", "costs", "strides", "heads"])
def test_nearly_every_row_is_complete_and_the_others_say_why_not(part: str) -> None:
    gaps = []
    for row in catalog().values():
        value = getattr(row, part)
        if not value or value != value:  # NaN is not itself
            gaps.append(row)
    assert len(gaps) <= 0.01 * len(catalog())
    assert all(row.problem for row in gaps)


def test_every_row_holds_together() -> None:
    for name, row in catalog().items():
        assert row.name == name
        assert row.family
        assert len(row.strides) == len(row.channels)
        assert len({head for group in row.heads for head in group}) == sum(map(len, row.heads))
        if not row.is_built:
            continue
        sizes = [size for size, _ in row.costs]
        assert sizes == sorted(set(sizes))
        # Two networks were published for a side that their patches do not fill.
        assert all(row.takes(size) or size == row.input_size for size in sizes)
        assert row.input_size in sizes
        assert row.n_ops > 0
        assert sum(row.macs_shares) == pytest.approx(1, abs=1e-3)
        assert sum(row.elements_shares) == pytest.approx(1, abs=1e-3)
        assert len(row.receptive_fields) in (0, len(row.strides))
        if row.effective_size is not None:
            assert len(row.effective_fields) == len(row.strides)
            assert 1 <= max(row.effective_fields) <= row.effective_size
        assert len(row.macs_shares) == len(MAC_KINDS)
        assert len(row.elements_shares) == len(ELEMENT_KINDS)
        for _, costs in row.costs:
            assert min(costs.macs_g, costs.acts_m) > 0
            assert costs.elements_m >= costs.acts_m * 0.5


def test_receptive_fields_are_those_of_the_layers() -> None:
    rows = catalog()
    assert rows["resnet18"].receptive_fields == (7, 43, 99, 211, 435)
    assert rows["vgg16"].receptive_fields[-1] == 212
    assert rows["vit_base_patch16_224"].receptive_fields[-1] == math.inf
    lacking = [row for row in rows.values() if not row.receptive_fields]
    assert len(lacking) <= 0.01 * len(rows)
    assert all("receptive fields: " in row.problem for row in lacking)
    small = [row for row in rows.values() if row.costs_at(row.input_size).macs_g <= 1.5]
    assert sum(row.effective_size is not None for row in small) > 0.97 * len(small)


def test_families_are_the_modules_of_timm() -> None:
    families = Counter(row.family for row in catalog().values())
    assert families["resnet"] > 20
    assert catalog()["resnet18"].family == catalog()["seresnext50_32x4d"].family == "resnet"
    assert catalog()["mobilenetv4_conv_small"].family == "mobilenetv3"
    assert all(family.isidentifier() for family in families)


@is_same_timm
def test_the_first_tag_is_the_one_that_timm_loads() -> None:
    for name in ("test_resnet", "resnet18", "mobilenetv3_small_050", "vit_tiny_patch16_224"):
        assert catalog()[name].tags[0].name == timm.models.get_pretrained_cfg(name).tag
    names = [tag.name for tag in catalog()["resnet18"].tags]
    assert names.count("a1_in1k") == 1


def test_costs_are_those_that_were_published() -> None:
    """Timm's results table: 1.82 and 4.49 G MACs, 2.48 and 17.08 M activations at 224 px."""
    for name, macs_g, acts_m in (
        ("resnet18", 1.82, 2.48),
        ("swin_tiny_patch4_window7_224", 4.51, 17.06),
    ):
        costs = catalog()[name].costs_at(224)
        assert costs.macs_g == pytest.approx(macs_g, rel=0.01)
        assert costs.acts_m == pytest.approx(acts_m, rel=0.01)


def test_fusable_are_the_networks_that_are_known_to_be() -> None:
    rows = catalog()
    fusable = ("repvgg_a0", "mobileone_s0", "repvit_m0_9", "fastvit_t8", "levit_128")
    assert all(rows[name].is_fusable for name in fusable)
    assert not any(
        rows[name].is_fusable for name in ("resnet18", "convnext_atto", "vit_base_r50_s16_224")
    )


def test_published_accuracies_belong_to_weights_of_the_catalog() -> None:
    rows = catalog()
    published = read_published(PUBLISHED)
    assert sum(map(len, published.values())) > 1200
    assert set(published) <= set(rows)
    for name, entries in published.items():
        assert rows[name].published == entries
        assert rows[name].top1 == max(entry.top1 for entry in entries)
        assert all(5 < entry.top1 < 100 and entry.input_size >= 64 for entry in entries)
    best = rows["resnet18"].published[0]
    assert best == Published("fb_swsl_ig1b_ft_in1k", 224, 73.286)
    assert rows["resnet18"].default_published == Published("a1_in1k", 288, 73.164)
    header = PUBLISHED.read_text(encoding="utf-8").splitlines()[:2]
    assert "results-imagenet.csv, Apache-2.0" in " ".join(header)


# ------------------------------------------------------------------ rows


def test_costs_are_exact_at_the_sizes_of_the_table_and_powers_between() -> None:
    row = backbone()
    assert row.costs_at(64) == Costs(0.1, 1.0, 3.0)
    assert row.costs_at(128) == Costs(0.4, 4.0, 12.0)
    between = row.costs_at(96)
    assert between.macs_g == pytest.approx(0.1 * (96 / 64) ** 2)
    assert between.elements_m == pytest.approx(3 * (96 / 64) ** 2)


@pytest.mark.parametrize("size", [32, 256])
def test_costs_beyond_the_table_go_on_as_its_end(size: int) -> None:
    assert backbone().costs_at(size).acts_m == pytest.approx((size / 64) ** 2)
    cubic = backbone(costs=tuple((s, Costs(s**3, s, s)) for s in (10, 20, 40)))
    assert cubic.costs_at(80).macs_g == pytest.approx(80**3)
    assert cubic.costs_at(5).macs_g == pytest.approx(5**3)
    assert cubic.costs_at(25).macs_g == pytest.approx(25**3)


def test_what_is_seen_is_the_effective_field_within_the_image() -> None:
    assert math.isnan(backbone().seen_px(224))
    deep = backbone(receptive_fields=(7.0, 400.0))
    assert [deep.seen_px(size) for size in (64, 1000)] == [64, 400 * TYPICAL]
    small = replace(deep, effective_size=224, effective_fields=(6.0, 150.0))
    assert [small.seen_px(size) for size in (64, 224, 1000)] == [64, 150, 150]
    cut_off = replace(deep, effective_size=224, effective_fields=(6.0, 208.0))
    assert [cut_off.seen_px(size) for size in (64, 1000)] == [64, 400 * TYPICAL]
    attention = replace(cut_off, receptive_fields=(7.0, math.inf))
    assert attention.seen_px(448) == 2 * 208


def test_costs_of_one_size_grow_with_the_area() -> None:
    row = backbone(costs=((100, Costs(1, 2, 3)),))
    assert row.costs_at(200) == Costs(4, 8, 12)
    assert math.isnan(backbone(costs=()).costs_at(64).macs_g)
    assert not backbone(costs=()).is_built


def test_a_head_without_the_last_stage_costs_its_shares() -> None:
    row = backbone(n_ops=50, truncated_shares=(0.2, 0.5, 0.9, 0.8, 0.7))
    assert row.with_head("timm") is row
    less = row.with_head("truncated")
    assert (less.params_m, less.n_ops) == (pytest.approx(0.3), 35)
    costs = less.costs_at(128)
    expected = (0.4 * 0.5, 4.0 * 0.9, 12.0 * 0.8)
    assert (costs.macs_g, costs.acts_m, costs.elements_m) == pytest.approx(expected)
    assert backbone().with_head("truncated") == backbone()
    deep = replace(row, receptive_fields=(7.0, 100.0, 400.0))
    deep = replace(deep, effective_size=224, effective_fields=(6.0, 50.0, 150.0))
    assert [deep.with_head(head).seen_px(224) for head in ("timm", "truncated")] == [150, 50]


def test_shares_are_of_backbones_that_carry_the_truncated_head() -> None:
    for row in catalog().values():
        is_carried = any("truncated" in group for group in row.heads)
        assert bool(row.truncated_shares) == is_carried
        assert all(0 < share < 1.03 for share in row.truncated_shares), row.name
        assert all(share < 1 for share in row.truncated_shares[:2]), row.name


def test_a_row_says_which_sizes_it_takes() -> None:
    patches = backbone(sizes="img_size", size_step=16, size_min=32)
    assert [size for size in (16, 32, 40, 48) if patches.takes(size)] == [32, 48]
    assert patches.size_rule == "multiples of 16 px from 32 px"
    assert backbone(size_min=8).size_rule == "any size from 8 px"
    fixed = backbone(sizes="fixed", input_size=240)
    assert (fixed.takes(240), fixed.takes(480)) == (True, False)
    assert fixed.size_rule == "240 px only"


def test_of_equal_heads_the_one_named_first_stays() -> None:
    row = backbone()
    assert row.heads_among(("avg", "timm", "max", "gem")) == ("avg", "max")
    assert row.heads_among(("timm", "avg")) == ("timm",)
    assert row.heads_among(("gem",)) == ()


def test_a_licence_is_that_of_the_weights_asked_for() -> None:
    row = backbone()
    assert row.licence() == row.licence("a1_in1k") == "mit"
    assert row.licence("") == "apache-2.0"
    assert row.licence("other") == backbone(tags=()).licence() == "?"


@pytest.mark.parametrize(
    ("tag", "data"),
    [
        ("a1_in1k", "in1k"),
        ("fb_in22k_ft_in1k_384", "in22k->in1k"),
        ("augreg_in21k", "in21k"),
        ("laion2b_ft_in12k_in1k", "laion2b->in12k->in1k"),
        ("clip_laion2b_augreg_ft_in1k", "laion2b->in1k"),
        ("openai_ft_in1k", "wit400m->in1k"),
        ("mim_in22k_ft_in22k_in1k", "in22k->in1k"),
        ("fcmae_ft_in22k_in1k", "in1k->in22k->in1k"),
        ("dinov3_lvd1689m", "lvd1689m"),
        ("ft_in1k", "?->in1k"),
        ("qwen3_vl_4b", "?"),
        ("", "?"),
    ],
)
def test_the_data_of_a_tag_are_the_words_that_name_images(tag: str, data: str) -> None:
    assert data_of(tag) == Tag(tag, "mit").data == data


# ------------------------------------------------------------------ files


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    published = (Published("a1_in1k", 224, 71.5),)
    rows = [
        backbone(strides=(4, 8), channels=(16, 32), is_fusable=True, published=published),
        backbone(name="cut", truncated_shares=(0.2, 0.5, 0.9, 0.8, 0.7)),
        backbone(name="fixed", sizes="fixed", tags=()),
        Backbone(name="bad", family="nets", params_m=math.nan, problem="network: it, says no"),
    ]
    path = tmp_path / "catalog.csv"
    write(path, rows, "1.2.3")
    again = read(path, {"net": published})
    assert list(again) == ["net", "cut", "fixed", "bad"]
    assert [again[name] for name in ("net", "cut", "fixed")] == rows[:3]
    assert again["bad"].problem == rows[3].problem
    assert math.isnan(again["bad"].params_m)
    assert timm_version(path) == "1.2.3"


def test_the_shipped_file_is_written_as_it_is_read(tmp_path: Path) -> None:
    write(tmp_path / "again.csv", catalog().values(), timm_version())
    assert (tmp_path / "again.csv").read_text() == PATH.read_text(encoding="utf-8")


def test_match_keeps_the_names_order_and_counts_nobody_twice() -> None:
    names = ["resnet18", "resnet34", "vit_tiny", "Resnet50"]
    assert match(["vit*", "resnet*", "resnet18"], names) == ["resnet18", "resnet34", "vit_tiny"]
    assert match(["resnet[13]?"], names) == ["resnet18", "resnet34"]
    assert match(["resnet"], names) == []
    assert match([], names) == []


def test_an_error_names_the_nearest_names() -> None:
    assert near("resnet19*", ["resnet18", "vit"]) == " (near: resnet18)"
    assert near("zzz", ["resnet18"]) == ""


def test_rows_are_read_once() -> None:
    assert catalog()["resnet18"] is catalog()["resnet18"]


@pytest.mark.slow
def test_reading_selecting_and_building_a_space_import_neither_timm_nor_torch(
    programs: Programs,
) -> None:
    code = (
        "import sys\n"
        "from archfront.search.catalog import catalog, timm_version\n"
        "from archfront.search.commands.catalog import call\n"
        "from archfront.search.cli import main\n"
        "assert len(catalog()) > 1000 and timm_version()\n"
        "assert main(['catalog', 'space', 'space=timm']) == 0\n"
        "assert main(['catalog', 'list', 'resnet18']) == 0\n"
        "print(*sorted({m.partition('.')[0] for m in sys.modules} & {'torch', 'timm', 'mlflow'}))"
    )
    shown = programs.run(code, imports=LIGHT, sees_repository=True)
    assert shown.splitlines()[-1] == ""
