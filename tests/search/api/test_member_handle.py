"""A trained candidate in Python: it predicts what the command predicts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import archfront as af
from archfront.search.errors import ArtifactError, ConfigError, DataError, StudyError
from tests.support import small_refits
from tests.support.command import Output, succeeds


class TestMember:
    def test_names_stand_for_what_they_stand_for_in_the_command(self, flowers: af.Study) -> None:
        front = flowers.front
        assert flowers.member().trial == front["trial"][front["is_knee"].idxmax()]
        assert flowers.member("best").trial == front["trial"][front["metric"].idxmax()]
        trial = int(front["trial"].iloc[-1])
        assert flowers.member(trial).candidate_id == front["candidate_id"].iloc[-1]
        with pytest.raises(StudyError, match=rf"'all' stands for {len(front)} candidates"):
            flowers.member("all")
        with pytest.raises(StudyError, match="No trained candidate of the study 'flowers' is"):
            flowers.member("kneee")

    def test_it_says_what_it_is(self, digits: af.Study) -> None:
        member = digits.member("best")
        assert repr(member) == (
            "<Member trial 1 of 'digits': test_resnet@16 timm, accuracy 0.8000, 0.2 ms>"
        )
        assert "test_resnet@16 timm, accuracy 0.8000" in member._repr_html_()

    @pytest.mark.slow
    def test_it_predicts_what_the_command_predicts(
        self, digits: af.Study, here: Path, capsys: Output
    ) -> None:
        rng = np.random.default_rng(3)
        pixels = rng.integers(0, 256, (2, 20, 30, 3), np.uint8)
        files = [here / f"{n}.png" for n in range(2)]
        for file, one in zip(files, pixels, strict=True):
            Image.fromarray(one).save(file)
        root = str(digits.folder.parents[1])
        out = str(here / "out")
        succeeds(
            capsys,
            *("export", "digits", "--root", root, "--out", out, "--proxy", "--no-latency"),
            *("--member", "best"),
        )
        lines = succeeds(capsys, "predict", out, *map(str, files), "--json").splitlines()
        said = [json.loads(line) for line in lines]
        for one in said:
            one.pop("image")
        member = digits.member("best")
        assert member.predict(files) == said
        assert member.predict(str(files[0])) == said[0]
        assert member.predict(Image.open(files[1])) == said[1]
        assert member.predict(pixels[0]) == said[0]
        assert member.predict(pixels) == said
        assert member.predict([pixels[0], files[1]]) == said
        assert member.predict(here / "0.png", min_score=0.5) == said[0]
        for file in (here / "out").iterdir():
            assert file.suffix != ".png"
        assert member.predict(folder_of(files)) == said
        gray = pixels[0, :, :, :1]
        assert member.predict(gray) == member.predict(gray[..., 0])
        assert capsys.readouterr().out == ""

    @pytest.mark.slow
    def test_it_is_exported_once_for_the_same_weights(
        self, digits: af.Study, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pixels = np.zeros((9, 9), np.uint8)
        first = digits.member("best").predict(pixels)
        [folder] = (digits.folder / "predictors").iterdir()
        stamp = (folder / "manifest.json").stat().st_mtime_ns
        assert digits.member("best").predict(pixels) == first
        assert (folder / "manifest.json").stat().st_mtime_ns == stamp
        # One from before exports knew the score with the best F1 is made again.
        folder.rename(folder.with_name(folder.name.rpartition("-")[0]))
        assert digits.member("best").predict(pixels) == first
        assert [one.name for one in folder.parent.iterdir()] == [folder.name]
        results = small_refits.results(digits.folder.parents[1])
        small_refits.write_refits(results, 1, [0.9])
        again = digits.member("best").predict(pixels)
        assert again != first, "the weights of the full training are other ones"
        assert digits.member("best", proxy=True).predict(pixels) == first
        assert len(list((digits.folder / "predictors").iterdir())) == 2

    @pytest.mark.slow
    def test_what_is_no_image_is_named(self, digits: af.Study, here: Path) -> None:
        member = digits.member("best")
        with pytest.raises(ArtifactError, match=r"There is no image or folder .*photo\.jpg"):
            member.predict("photo.jpg")
        with pytest.raises(ConfigError, match="a path, a PIL image or an array; got int"):
            member.predict(3)
        with pytest.raises(ConfigError, match="threads: a whole number of at least 1"):
            member.predict("photo.jpg", threads=0)
        wrong = np.zeros((3, 8, 8), np.float32)
        with pytest.raises(ConfigError, match=r"uint8 .* got float32 of shape \(3, 8, 8\)"):
            member.predict(wrong)
        with pytest.raises(ConfigError, match=r"got uint8 of shape \(3, 8, 8\)"):
            member.predict(wrong.astype(np.uint8))
        for shape in ((8, 8, 0), (0, 8, 3)):
            with pytest.raises(ConfigError, match="got uint8 of shape"):
                member.predict(np.zeros(shape, np.uint8))
        with pytest.raises(ConfigError, match="a path, a PIL image or an array; got dict"):
            member.predict([{}])
        (here / "bad.png").write_text("no picture")
        with pytest.raises(DataError, match=r"bad\.png: it is not an image of a known format"):
            member.predict("bad.png")

    def test_weights_that_were_not_kept_are_told(self, digits: af.Study) -> None:
        with pytest.raises(StudyError, match="The weights of trial 2 are not at"):
            digits.member(2).predict(np.zeros((9, 9), np.uint8))


def folder_of(files: list[Path]) -> Path:
    """Return a folder with links to some files, in their order."""
    folder = files[0].parent / "folder"
    folder.mkdir()
    for file in files:
        (folder / file.name).symlink_to(file)
    return folder
