"""The weights of a space are fetched by a command, beforehand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from archfront.search.cli import main
from tests.support.command import Output, succeeds
from tests.support.fake_hub import FakeHub, fake_hub

SPACE = ("space.exclude=[]", "space.params_m_max=null")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """Serve a hub that has the weights of one of timm's smallest models."""
    with fake_hub(tmp_path / "cache", monkeypatch) as served:
        served.publish("test_resnet")
        yield served


def test_it_fetches_what_is_published_and_names_the_others(hub: FakeHub, capsys: Output) -> None:
    words = ("weights", "fetch", "space.backbones=test_resnet,lcnet_035", *SPACE)
    lines = succeeds(capsys, *words).splitlines()
    assert lines[:2] == ["2 backbones", "nobody publishes weights for 1 of them: lcnet_035"]
    assert lines[2].startswith("test_resnet: ")
    assert Path(lines[2].removeprefix("test_resnet: ")).read_bytes() == next(
        iter(hub.files.values())
    )
    assert succeeds(capsys, *words).splitlines() == lines
    assert len(hub.downloads()) == 1


def test_what_the_hub_refuses_is_an_error(hub: FakeHub, capsys: Output) -> None:
    words = ("weights", "fetch", "space.backbones=test_resnet,test_vit", *SPACE)
    assert main(list(words)) == 1
    shown = capsys.readouterr()
    assert "1 of 2 weights could not be fetched:\n  - test_vit: " in shown.err
    assert "test_resnet: " in shown.out


def test_a_space_that_nobody_publishes_weights_for_is_an_error(
    hub: FakeHub, capsys: Output
) -> None:
    words = ("weights", "fetch", "space.backbones=lcnet_035", *SPACE)
    assert main(list(words)) == 1
    assert "publishes no weights for 'lcnet_035'" in capsys.readouterr().err
    assert hub.asked == []
