"""``archfront profile``: a dataset in a terminal and as a record."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from archfront.search.cli import main
from archfront.search.commands import run
from archfront.search.profile.dataset_profile import DatasetProfile
from archfront.search.report.profile_text import profile_table
from tests.support.command import Output, fails
from tests.support.textured_images import clean_folder, save, textured

SHAPES = ("task=detection", "data=shapes", "data.shapes.images=30")


@pytest.fixture(autouse=True)
def _own(own_folder: Path) -> None:
    """Remember profiles beside the latencies of this test."""


def profile(capsys: Output, *words: str) -> str:
    """Return what is printed; notes go to standard error."""
    assert main(["profile", *words]) == 0
    return capsys.readouterr().out


def test_what_is_wrong_comes_before_everything_else(tmp_path: Path, capsys: Output) -> None:
    clean_folder(tmp_path / "data", n=6)
    save(tmp_path / "data/a/900.png", textured(1003))  # b/003.png
    shown = profile(capsys, f"data.root={tmp_path / 'data'}").splitlines()
    assert max(map(len, shown)) <= 80
    words = [line.split()[0] for line in shown if line[:1].strip()]
    assert words[:3] == ["data", "split", "fault"]
    assert "contradicting labels" in " ".join(shown)
    assert {"balance", "images", "content", "values"} <= set(words)


def test_the_record_comes_back_from_its_json(capsys: Output) -> None:
    found = DatasetProfile.from_dict(json.loads(profile(capsys, *SHAPES, "--json")))
    assert found.task == "detection"
    assert found.objects is not None
    sizes = [at.input_size for at in found.objects.at_sizes]
    assert sizes
    assert sizes == sorted(sizes)
    assert len({at.stride for at in found.objects.at_sizes}) == 1


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("classification", ["images", "circle"]),
        ("multilabel", ["images", "circle"]),
        ("detection", ["objects", "per image", "cells of stride", "overlap another"]),
        ("semantic", ["pixels", "background", "beside another class"]),
        ("instance", ["objects", "per image", "cells of stride"]),
    ],
)
def test_every_task_has_a_profile(capsys: Output, task: str, words: list[str]) -> None:
    shown = " ".join(profile(capsys, f"task={task}", *SHAPES[1:]).split())
    assert "none found" in shown
    assert [word for word in words if word not in shown] == []


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_a_profile_fits_any_width(width: int) -> None:
    from tests.support.small_profile import small_profile

    console = Console(width=width, force_terminal=False)
    with console.capture() as capture:
        console.print(profile_table(small_profile()))
    assert max(map(len, capture.get().splitlines())) <= width


def test_data_that_is_not_there_is_one_clear_error(capsys: Output) -> None:
    said = fails(capsys, 1, "profile", "data=folder", "data.root=nowhere")
    assert "nowhere" in said


def test_a_folder_without_one_good_image_is_one_clear_error(
    tmp_path: Path, capsys: Output
) -> None:
    for name in ("a/1.png", "a/2.png", "b/1.png"):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).write_text("no image")
    said = fails(capsys, 1, "profile", "data=folder", f"data.root={tmp_path / 'data'}")
    assert "none of the 3 images can be used, as a/1.png: it is not an image" in said


class TestRemembered:
    """A second call with the same words composes nothing while nothing changes."""

    @pytest.fixture
    def words(self, tmp_path: Path) -> list[str]:
        clean_folder(tmp_path / "data", n=4)
        return [f"data.root={tmp_path / 'data'}", "data.split_seed=1"]

    @pytest.fixture
    def composed(self, monkeypatch: pytest.MonkeyPatch) -> list[object]:
        """Return what was composed since, by its words."""
        calls: list[object] = []

        def count(words: list[str], **options: object) -> object:
            calls.append(words)
            return config_of(words, **options)

        config_of = run.config_of
        monkeypatch.setattr(run, "config_of", count)
        return calls

    def test_it_tells_the_same(
        self, words: list[str], composed: list[object], capsys: Output
    ) -> None:
        told = []
        for _ in range(2):
            assert main(["profile", *words]) == 0
            told.append(capsys.readouterr())
        assert told[0] == told[1]
        assert "data=auto reads" in told[0].err
        assert len(composed) == 1
        boxes = [profile(capsys, *SHAPES, "--json") for _ in range(2)]
        assert boxes[0] == boxes[1]
        assert len(composed) == 2

    def test_what_has_changed_is_looked_at(
        self,
        words: list[str],
        composed: list[object],
        capsys: Output,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        profile(capsys, *words)
        profile(capsys, *words, "data.val=0.1")
        save(tmp_path / "data/a/100.png", textured(99))
        splits = json.loads(profile(capsys, *words, "--json"))["splits"]
        assert sum(split["images"] for split in splits.values()) == 9
        assert len(composed) == 3
        monkeypatch.setenv("ARCHFRONT_ROOT", "elsewhere")
        profile(capsys, *words)
        assert len(composed) == 4
        for file in tmp_path.glob("profiles/answers/*.json"):
            file.write_text('{"options": [1, 2, {}]}')
        profile(capsys, *words)
        assert len(composed) == 5

    def test_data_behind_links_is_always_looked_up(
        self, words: list[str], composed: list[object], capsys: Output, tmp_path: Path
    ) -> None:
        (tmp_path / "data/c").symlink_to(tmp_path / "data/b")
        for _ in range(2):
            profile(capsys, *words, "data.outside_root=allow")
        assert len(composed) == 2


def test_the_page_is_written_beside_what_is_printed(tmp_path: Path, capsys: Output) -> None:
    shown = profile(capsys, *SHAPES, "--html", "profile.html")
    assert "per image" in shown
    assert "The smallest objects" in Path("profile.html").read_text(encoding="utf-8")
    said = fails(capsys, 2, "profile", *SHAPES, "--html", "nowhere/profile.html")
    assert said.startswith("--html: there is no folder")
    assert said.endswith("Make it first.")


def test_images_of_12_bits_are_as_bright_on_the_page_as_in_the_study(
    tmp_path: Path, capsys: Output
) -> None:
    """They were scaled as 16 bits, and all pictures of the page were black."""
    for name, brightness in (("a", 1500), ("b", 4000)):
        for number in range(6):
            pixels = np.full((20, 20), brightness + number, np.uint16)
            save(tmp_path / "data" / name / f"{number}.png", pixels)
    profile(capsys, f"data.root={tmp_path / 'data'}", "--html", "profile.html")
    page = Path("profile.html").read_text(encoding="utf-8")
    found = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)
    shown = [np.asarray(Image.open(BytesIO(b64decode(content)))).mean() for content in found]
    assert (min(shown), max(shown)) == pytest.approx((1500 / 4095 * 255, 4005 / 4095 * 255), abs=2)


def test_a_pattern_of_groups_is_taken_from_the_command_line(
    tmp_path: Path, capsys: Output
) -> None:
    clean_folder(tmp_path / "data", n=12)
    words = [f"data.root={tmp_path / 'data'}", "data.group=([^/]*?)[0-9]$", "--json"]
    found = json.loads(profile(capsys, *words))
    assert "finds nothing in any of the 24 names of images" in found["division"]
    words[1] = "data.group=([0-9][0-9])[.]png$"
    found = json.loads(profile(capsys, *words))
    assert found["division"].endswith("each in one split")


def test_a_file_of_ones_own_is_read_anew_each_time(tmp_path: Path, capsys: Output) -> None:
    own = tmp_path / "own" / "data" / "drawn.yaml"
    own.parent.mkdir(parents=True)
    for n_images in (30, 40):
        own.write_text(f"defaults: [shapes]\nshapes: {{images: {n_images}}}\n")
        words = ("task=detection", "data=drawn", "--config-dir", str(tmp_path / "own"), "--json")
        found = DatasetProfile.from_dict(json.loads(profile(capsys, *words)))
        assert sum(part.images for part in found.splits.values()) == n_images


def test_the_help_says_what_is_told_and_shows_examples(capsys: Output) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["profile", "--help"])
    shown = capsys.readouterr().out
    assert "contradicting labels" in shown
    assert "archfront profile data.root=photos" in shown
