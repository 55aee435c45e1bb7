"""The profile of a dataset in Python is that of the command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import archfront as af
from archfront.search.cli import main
from archfront.search.errors import ConfigError
from tests.support.command import Output
from tests.support.textured_images import clean_folder, save, textured


def test_a_profile_says_what_the_command_says(tmp_path: Path, capsys: Output) -> None:
    clean_folder(tmp_path / "data", ("a", "b<i>"), n=6)
    save(tmp_path / "data/a/900.png", textured(1003))  # b/003.png
    root = str(tmp_path / "data")
    profile = af.profile({"data": {"root": root}}, quiet=True)
    assert capsys.readouterr() == ("", "")
    assert [fault.kind for fault in profile.faults] == ["contradicting labels"]
    assert profile.facts["n_classes"] == 2
    assert sum(profile.facts[f"n_{split}"] for split in profile.record.splits) == 13
    assert main(["profile", f"data.root={root}", "--json"]) == 0
    assert profile.to_dict() == json.loads(capsys.readouterr().out)
    assert repr(profile).endswith("13 images, 2 classes, faults: contradicting labels>")
    page = profile._repr_html_()
    assert "b&lt;i&gt;" in page
    assert "<i>" not in page
    with pytest.raises(ConfigError, match="nothing: no such option"):
        af.profile("data=digits", "nothing=1")
