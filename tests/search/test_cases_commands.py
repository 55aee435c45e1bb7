"""Files that people give to commands (``tests/support/case_folder.py``)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from archfront.search.cli import main
from tests.support.case_folder import case_root
from tests.support.command import Output, fails, succeeds
from tests.support.shared_exports import SharedExports


class TestLatencies:
    def test_semicolons_and_decimal_commas_are_one_error(
        self, capsys: Output, tmp_path: Path
    ) -> None:
        file = case_root() / "100-latency-csv" / "phone.csv"
        said = fails(capsys, 1, "latency", "import", str(file), "--db", str(tmp_path / "l.db"))
        assert said == (
            f"{file} has its columns between semicolons; commas are needed, and points in numbers."
        )

    def test_a_bom_is_read_and_a_value_that_is_no_number_is_named(
        self, capsys: Output, tmp_path: Path
    ) -> None:
        file = case_root() / "100-latency-csv" / "phone2.csv"
        words = ("latency", "import", str(file), "--db", str(tmp_path / "l.db"))
        assert "line 3: latency_ms: a number above 0 is needed; got 'NaN'." in fails(
            capsys, 1, *words
        )
        assert "1 latency read" in succeeds(capsys, *words, "--skip-bad")


@pytest.mark.slow  # an export is made
def test_every_image_that_can_be_read_is_predicted(
    capsys: Output, exports: SharedExports, tmp_path: Path
) -> None:
    images = shutil.copytree(case_root() / "101-predict-images", tmp_path / "images")
    assert main(["predict", str(exports.served("classification")), str(images), "--json"]) == 1
    shown = capsys.readouterr()
    answered = {Path(json.loads(line)["image"]).name for line in shown.out.splitlines()}
    assert answered == {"ok.PNG", "cmyk.jpg", "\u00fcber den Wolken #1.png", "bad_exif.jpg"}
    assert len(shown.err.splitlines()) == 1
    assert "broken.jpg: it " in shown.err
