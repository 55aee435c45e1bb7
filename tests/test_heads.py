from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from search.heads import RememberedHeads
from trainers.tasks.classification import Classification


class Counting(Classification):
    """The task, counting how often it is asked."""

    asked = 0

    def heads_for(self, backbone: str, among: Sequence[str] | None = None) -> tuple[str, ...]:
        type(self).asked += 1
        return super().heads_for(backbone, among)


def test_a_backbone_is_asked_about_once_whatever_the_process(tmp_path: Path) -> None:
    path = tmp_path / "cache" / "heads.json"
    Counting.asked = 0
    first = RememberedHeads(Counting(), path)
    wanted = Classification().heads_for("test_vit", ("avg", "gem", "mlp"))
    assert first("test_vit", ("avg", "gem", "mlp")) == wanted
    first.save()
    again = RememberedHeads(Counting(), path)
    assert again("test_vit", ("avg", "gem", "mlp")) == wanted
    assert Counting.asked == 1
    again("test_vit", ("gem",))
    assert Counting.asked == 2


def test_a_damaged_file_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "heads.json"
    path.write_text("{not json")
    heads = RememberedHeads(Classification(), path)
    assert heads("test_resnet", ("avg",)) == ("avg",)
    heads.save()
    assert RememberedHeads(Classification(), path)("test_resnet", ("avg",)) == ("avg",)
