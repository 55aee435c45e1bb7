"""The shipped catalog is timm's own list, reads without timm, and tells the truth about it."""

from __future__ import annotations

import math
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import timm

from search.catalog import PATH, Backbone, build, catalog, describe, match, timm_version

is_same_timm = pytest.mark.skipif(
    timm.__version__ != timm_version(),
    reason="the catalog was built from another timm than the installed one",
)
# One of each kind: plain, alone in its module, many tags, built for one size, without weights.
BUILT = ["test_resnet", "resnet18", "mobilenetv3_small_050", "test_vit", "vit_tiny_patch16_224"]


@is_same_timm
def test_the_catalog_has_every_timm_name_once_in_timms_order() -> None:
    assert list(catalog()) == timm.list_models()
    lines = PATH.read_text(encoding="utf-8").splitlines()
    assert len(lines) == len(catalog()) + 2  # the version, the names of the columns


def test_every_row_is_complete_or_says_why_not() -> None:
    for name, row in catalog().items():
        assert row.name == name
        assert row.family
        assert row.sizes in ("any", "img_size", "fixed")
        assert row.input_size > 0
        assert math.isnan(row.params_m) if row.problem else row.params_m > 0


def test_families_are_the_modules_of_timm() -> None:
    families = Counter(row.family for row in catalog().values())
    assert families["resnet"] > 20
    assert catalog()["resnet18"].family == catalog()["seresnext50_32x4d"].family == "resnet"
    assert catalog()["mobilenetv4_conv_small"].family == "mobilenetv3"
    assert all(family.isidentifier() for family in families)


@is_same_timm
@pytest.mark.parametrize("name", BUILT)
def test_a_row_is_what_building_the_network_says(name: str) -> None:
    row = catalog()[name]
    assert describe(name) == row
    params = sum(p.numel() for p in timm.create_model(name).parameters())
    assert row.params_m == pytest.approx(params / 1e6, abs=1e-4)
    assert row.input_size == timm.models.get_pretrained_cfg(name).input_size[-1]


@is_same_timm
def test_the_first_tag_is_the_one_that_timm_loads() -> None:
    for name in BUILT:
        first = catalog()[name].tags.split(";")[0]
        assert first == timm.models.get_pretrained_cfg(name).tag
    assert catalog()["resnet18"].tags.count("a1_in1k") == 1


def test_a_network_that_cannot_be_built_is_a_row_with_its_problem(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(name: str, **options: object) -> None:
        raise ValueError(f"{name} never builds\nand says so at length")

    monkeypatch.setattr(timm, "create_model", broken)
    row = describe("resnet18")
    assert row.problem == "ValueError: resnet18 never builds"
    assert math.isnan(row.params_m)
    assert (row.family, row.tags) == ("resnet", catalog()["resnet18"].tags)


def test_what_is_written_is_what_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timm, "list_models", lambda: ["test_resnet", "test_vit"])
    written = tmp_path / "catalog.csv"
    assert build(written) == 2
    lines = written.read_text(encoding="utf-8").splitlines()
    assert lines[0] == f"# timm {timm.__version__}"
    if timm.__version__ == timm_version():
        shipped = PATH.read_text(encoding="utf-8").splitlines()
        assert lines[1] == shipped[1]
        assert set(lines[2:]) < set(shipped)


def test_match_keeps_the_names_order_and_counts_nobody_twice() -> None:
    names = ["resnet18", "resnet34", "vit_tiny", "Resnet50"]
    assert match(["vit*", "resnet*", "resnet18"], names) == ["resnet18", "resnet34", "vit_tiny"]
    assert match(["resnet[13]?"], names) == ["resnet18", "resnet34"]
    assert match(["resnet"], names) == []
    assert match([], names) == []


def test_rows_are_records() -> None:
    row = catalog()["resnet18"]
    assert isinstance(row, Backbone)
    assert row is catalog()["resnet18"]  # read once


def test_reading_the_catalog_and_selecting_import_neither_timm_nor_torch() -> None:
    code = (
        "import sys\n"
        "from search.catalog import catalog, timm_version\n"
        "import search.space\n"
        "assert len(catalog()) > 1000 and timm_version()\n"
        "print(*sorted({m.partition('.')[0] for m in sys.modules} & {'torch', 'timm', 'optuna'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == ""
