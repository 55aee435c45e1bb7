from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from archfront.search.engine.file_sets import Outline
from archfront.search.engine.placement import ClusterNeeds, Fit
from archfront.search.engine.ray_folders import FolderSender
from archfront.search.errors import ConfigError, DataError


def _refuse(subject: Any) -> str:
    raise DataError(f"{subject} names images that lie elsewhere.")


@pytest.mark.parametrize("is_sent", [True, False])
def test_what_cannot_be_sent_ends_a_study_before_it_begins(tmp_path: Path, is_sent: bool) -> None:
    """Where all nodes see the folder, nobody asks."""
    read = str(tmp_path)
    needs = ClusterNeeds(read=(read,), outline=Outline(_refuse, "labels.csv"))
    sender = FolderSender(needs, lambda _: None)
    fit = Fit(1, True, (), (), "", (read,) if is_sent else ())
    if not is_sent:
        sender.check([fit])
        return
    with pytest.raises(ConfigError, match=r"^labels.csv names images that lie elsewhere\.$"):
        sender.check([fit])


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    read = str(tmp_path / "gone")
    sender = FolderSender(ClusterNeeds(read=(read,)), lambda _: None)
    with pytest.raises(ConfigError, match=r"engine\.files: .*/gone cannot be read, .*: No such"):
        sender.check([Fit(1, True, (), (), "", (read,))])
