"""Exports of the small members, each made once in a session, whichever worker needs it first."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from archfront.search.export.export_request import ExportRequest
from archfront.search.export.ship import export_member
from archfront.search.formats.formats import FORMATS
from archfront.trainers.files import locked
from tests.support import small_member

# The formats that are opened without torch, and one that is an archive.
SERVED = ("onnx", "openvino", "torch-export")


@dataclass(frozen=True)
class SharedExports:
    """Folders of exports, which tests read and copy but do not change.

    Attributes:
        base: Folder that all workers of the session share.
    """

    base: Path

    def of(self, task: str) -> Path:
        """Return the export of a task in every format, scored and measured."""
        return self._made(f"{task}-all", task, ExportRequest(tuple(FORMATS.values())))

    def served(self, task: str) -> Path:
        """Return the export of a task as ONNX and OpenVINO, of a classifier also torch.export."""
        names = SERVED if task == "classification" else SERVED[:2]
        formats = tuple(FORMATS[name] for name in names)
        return self._made(f"{task}-served", task, ExportRequest(formats, is_timed=False))

    def _made(self, name: str, task: str, order: ExportRequest) -> Path:
        folder = self.base / name
        with locked(folder / "lock"):
            if not (folder / "export").exists():
                member = small_member.member(small_member.candidate(task), folder / "weights")
                study = small_member.study(task, folder / "root")
                export_member(study, member, order, folder / "export")
        return folder / "export"
