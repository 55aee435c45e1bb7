"""``archfront catalog``: its tables, records and messages."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from archfront.search.catalog import build_catalog, catalog, timm_version
from archfront.search.catalog.catalog_files import read
from archfront.search.catalog.view import SORTS
from archfront.search.cli import main
from tests.support import forked
from tests.support.command import Output, fails, succeeds


def records(capsys: Output, *words: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(succeeds(capsys, "catalog", *words, "--json"))
    return found


def test_the_help_teaches_by_examples(capsys: Output) -> None:
    with pytest.raises(SystemExit, match="0"):
        succeeds(capsys, "catalog", "--help")
    text = capsys.readouterr().out
    assert text.count("\n  archfront catalog ") >= 6


class TestList:
    def test_a_table_names_what_was_asked_for(self, capsys: Output) -> None:
        text = succeeds(capsys, "catalog", "list", "resnet18", "resnet34")
        assert text.splitlines()[0].strip() == "2 architectures"
        assert "resnet18" in text
        assert "1.81" in text  # G MACs
        assert "4 8 16 32" in text

    def test_records_have_every_field(self, capsys: Output) -> None:
        [row] = records(capsys, "list", "resnet18")
        assert (row["family"], row["input_size"], row["macs_g"]) == ("resnet", 224, 1.81407)
        assert (row["top1"], row["top1_tag"]) == (73.286, "fb_swsl_ig1b_ft_in1k")
        assert (row["data"], row["licence"], row["is_fusable"]) == ("in1k", "apache-2.0", False)
        assert row["problem"] is None

    def test_csv_is_one_line_a_row(self, capsys: Output) -> None:
        text = succeeds(capsys, "catalog", "list", "resnet18*", "--csv")
        rows = list(csv.DictReader(io.StringIO(text)))
        assert [row["name"] for row in rows] == ["resnet18", "resnet18d"]
        assert rows[0]["strides"] == "2;4;8;16;32"

    def test_limits_families_and_licences_filter(self, capsys: Output) -> None:
        words = ("list", "--params-m-max", "5", "--macs-g-max", "0.2", "--family", "mobilenet*")
        rows = records(capsys, *words, "--licence", "apache*")
        assert len(rows) > 5
        for row in rows:
            known = catalog()[str(row["name"])]
            assert known.params_m <= 5
            assert known.costs_at(known.input_size).macs_g <= 0.2
            assert known.family.startswith("mobilenet")
            assert known.licence() == "apache-2.0"

    def test_costs_are_those_at_the_size_shown(self, capsys: Output) -> None:
        rows = records(capsys, "list", "resnet18", "vit_tiny_patch16_224", "--input-size", "96")
        assert {row["input_size"] for row in rows} == {96}
        assert rows[0]["macs_g"] == pytest.approx(
            catalog()["resnet18"].costs_at(96).macs_g, rel=1e-5
        )
        sized = records(capsys, "list", "test_vit", "test_resnet", "--input-size", "40")
        assert [row["name"] for row in sized] == ["test_resnet"]  # patches of 16 do not fill 40

    @pytest.mark.parametrize("key", SORTS)
    def test_what_is_listed_is_in_order(self, capsys: Output, key: str) -> None:
        rows = records(capsys, "list", "resnet*", "--sort", key)
        values = [row[key] for row in rows if row[key] is not None]
        assert values == sorted(values, reverse=key == "top1")  # type: ignore[type-var]

    def test_an_unknown_sort_key_names_the_known(self, capsys: Output) -> None:
        assert fails(capsys, 2, "catalog", "list", "resnet18", "--sort", "mac_g") == (
            "--sort: Unknown value 'mac_g'. Did you mean 'macs_g'? Known: acts_m, macs_g, name, "
            "params_m, top1."
        )

    def test_a_pattern_that_matches_nothing_gets_the_nearest(self, capsys: Output) -> None:
        text = fails(capsys, 2, "catalog", "list", "resnet19", "resnet18")
        assert text.startswith("No timm architecture is called 'resnet19' (near: resnet1")
        text = fails(capsys, 2, "catalog", "list", "--family", "resnets")
        assert text.startswith("No family is called 'resnets' (near: ")
        text = fails(capsys, 2, "catalog", "list", "--licence", "gpl")
        assert text == "No license is called 'gpl'."

    def test_limits_that_leave_nothing_say_so(self, capsys: Output) -> None:
        assert fails(capsys, 2, "catalog", "list", "resnet1*", "--params-m-max", "0.1").startswith(
            "None of 14 architectures passes the filters. "
        )

    def test_wrong_flags_are_told_together(self, capsys: Output) -> None:
        text = fails(capsys, 2, "catalog", "show", "resnet18", "--sort", "name", "--csv")
        assert "  1. archfront catalog show takes no --sort; it belongs to list." in text
        assert "  2. archfront catalog show takes no --csv; it belongs to list." in text
        text = fails(capsys, 2, "catalog", "list", "--macs-g-max", "0")
        assert text == "--macs-g-max: a number above 0 is needed; got 0."


class TestShow:
    def test_all_of_a_row_is_shown(self, capsys: Output) -> None:
        text = succeeds(capsys, "catalog", "show", "resnet18")
        for word in ("any size from", "timm = avg", "512 channels at stride 32", "73.164 at 288"):
            assert word in text

    def test_records_are_nested(self, capsys: Output) -> None:
        shown = json.loads(succeeds(capsys, "catalog", "show", "repvgg_a0.rvgg_in1k", "--json"))
        assert shown["is_fusable"]
        assert [entry["input_size"] for entry in shown["costs"]] == [64, 128, 224, 384]
        assert shown["tags"][0]["tag"] == "rvgg_in1k"

    def test_every_row_can_be_shown(self, capsys: Output) -> None:
        names = [n for n, row in catalog().items() if row.problem or not row.tags][:10]
        for name in [*names, "vit_base_patch16_clip_224"]:
            assert name in succeeds(capsys, "catalog", "show", name)

    def test_a_name_that_is_not_there_gets_the_nearest(self, capsys: Output) -> None:
        text = fails(capsys, 2, "catalog", "show", "resnet19")
        assert text.startswith("No timm architecture is called 'resnet19' (near: ")
        assert f"has {len(catalog())} of timm {timm_version()}" in text
        assert fails(capsys, 2, "catalog", "show") == (
            "archfront catalog show needs one name, such as resnet18."
        )

    def test_a_network_of_transformers_is_shown(self, capsys: Output) -> None:
        """Of hf:./folder it said that no timm architecture is called 'hf:'."""
        text = succeeds(capsys, "catalog", "show", "hf:microsoft/resnet-18")
        assert text.splitlines()[:2] == ["hf:microsoft/resnet-18", "family      hf_resnet"]
        assert "11.69 M" in text
        text = fails(capsys, 2, "catalog", "list", "hf:*")
        assert text == (
            "archfront catalog list has the architectures of timm; got hf:*. One of transformers "
            "is shown by: archfront catalog show hf:OWNER/NAME or hf:./FOLDER."
        )


class TestSpace:
    def test_it_tells_size_and_what_is_left_out(self, capsys: Output) -> None:
        text = succeeds(capsys, "catalog", "space", "space=timm", "space.macs_g_max=0.1")
        lines = text.splitlines()
        assert lines[0].startswith("space     ")
        assert " backbones of " in lines[0]
        assert any(
            line.startswith("left out  ") and "over space.params_m_max=60" in line
            for line in lines
        )
        assert " to 0.0" in lines[1]

    @pytest.mark.slow
    def test_the_record_agrees_with_the_words(self, capsys: Output) -> None:
        words = ("catalog", "space", "space=digits", "space.input_sizes=[32]")
        found = json.loads(succeeds(capsys, *words, "--json"))
        assert (found["backbones"], found["architectures"], found["recipes"]) == (3, 6, 4)
        assert found["candidates"] == 24
        assert "24 candidates: 3 backbones" in succeeds(capsys, *words)

    @pytest.mark.slow
    def test_a_space_of_nothing_says_why(self, capsys: Output) -> None:
        text = fails(capsys, 2, "catalog", "space", "space.macs_g_max=0.00001")
        assert text.startswith("space: nothing is left: ")
        text = fails(capsys, 2, "catalog", "space", "space.families=resnetz,resnet")
        assert text.startswith("space.families: Unknown family 'resnetz'. Did you mean ")

    @pytest.mark.slow
    def test_weights_are_not_looked_for(self, capsys: Output) -> None:
        text = succeeds(capsys, "catalog", "space", "space.weights=pretrained")
        assert text.splitlines()[-1].startswith("weights   not looked for here")


class TestBuild:
    def test_words_are_refused(self, capsys: Output, tmp_path: Path) -> None:
        assert fails(capsys, 2, "catalog", "build", "resnet18") == (
            "archfront catalog build takes no words; got 'resnet18'."
        )

    def test_a_folder_that_is_not_there_is_told_before_the_work(
        self, capsys: Output, tmp_path: Path
    ) -> None:
        folder = tmp_path / "none"
        assert fails(capsys, 2, "catalog", "build", "--out", str(folder / "c.csv")) == (
            f"--out: {folder} is not a folder that can be written to."
        )

    @pytest.mark.slow
    def test_it_writes_a_catalog_that_can_be_read(
        self, capsys: Output, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import timm

        monkeypatch.setattr(timm, "list_models", lambda: ["test_convnext", "test_resnet"])
        # Its process need not import timm.
        monkeypatch.setattr(build_catalog, "get_context", lambda method: forked.context())
        path = tmp_path / "catalog.csv"
        assert main(["catalog", "build", "--out", str(path), "--workers", "1"]) == 0
        assert capsys.readouterr().out == f"2 architectures in {path}, 0 with gaps\n"
        assert list(read(path, {})) == ["test_convnext", "test_resnet"]


@pytest.mark.slow
@pytest.mark.parametrize("form", [(), ("--csv",), ("--json",)])
def test_a_reader_that_goes_away_is_no_error(form: tuple[str, ...]) -> None:
    code = "import sys; from archfront.search.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "catalog", "list", *form]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
