"""Where a study's files lie, all of them below one root."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from archfront.search.errors import StudyError
from archfront.trainers.files import plain_path

# Beside the picture of a candidate's predictions.
MISTAKES, DETAILS = "mistakes.png", "details.json"
# A file that comes from a node, beside its place; the name there and one of its own.
PART = ".{}.{}.part"
# What is wrong with a place, and not with the machine for a while.
UNWRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST)
ROOT_VARIABLE = "ARCHFRONT_ROOT"
EARLIER_CACHE = "~/.cache/archfront"  # wherever XDG_CACHE_HOME was


@dataclass(frozen=True)
class StudyPaths:
    """The paths of one study.

    Attributes:
        root: Folder of all studies and of MLflow's database and artifacts; absolute.
        study: Name of the study.
    """

    root: Path
    study: str

    @cached_property
    def folder(self) -> Path:
        """Return the folder of the study: everything of it but MLflow's rows."""
        return self.root / "studies" / self.study

    @cached_property
    def journal(self) -> Path:
        """Return Optuna's journal."""
        return self.folder / "optuna.journal"

    @cached_property
    def lock(self) -> Path:
        """Return the file whose kernel lock the driver holds for its life."""
        return self.folder / "driver.lock"

    @property
    def events(self) -> Path:
        """Return the append-only log of events, one JSON object a line."""
        return self.folder / "events.jsonl"

    @property
    def config(self) -> Path:
        """Return the composed configuration, which ``archfront run --config`` takes."""
        return self.folder / "study.yaml"

    @property
    def report(self) -> Path:
        """Return the report."""
        return self.folder / "report.html"

    @property
    def profile(self) -> Path:
        """Return the profile of the data, where it is known."""
        return self.folder / "profile.json"

    @property
    def finishing(self) -> Path:
        """Return the note of what is still to be written at the end of the study."""
        return self.folder / "finishing.json"

    @property
    def matplotlib(self) -> Path:
        """Return where matplotlib keeps its list of fonts, else in the home folder."""
        return self.root / "cache" / "matplotlib"

    @property
    def measuring(self) -> Path:
        """Return where measurements keep files while they run."""
        return self.folder / "measuring"

    @property
    def trials(self) -> Path:
        """Return the folder of the files of trials."""
        return self.folder / "trials"

    def trial(self, number: int, attempt: int, rung: int = 0) -> Path:
        """Return the folder of one attempt's predictions and weights at a rung."""
        name = f"{number:05d}-{attempt}" + (f"-rung{rung}" if rung else "")
        return self.trials / name

    def fold(self, number: int, rung: int, fold: int) -> Path:
        """Return the folder of a member's predictions of a fold."""
        return self.folder / "folds" / f"{number:05d}-rung{rung}-fold{fold}"

    def remove_attempt(self, number: int, attempt: int, rung: int) -> None:
        """Remove what an attempt left that came to no record."""
        shutil.rmtree(self.trial(number, attempt, rung), ignore_errors=True)

    def gallery(self, predictions: str | Path) -> Path:
        """Return the picture of kept predictions, whose path may be relative to the folder."""
        return (self.folder / predictions).with_name("gallery.png")

    def mistakes(self, predictions: str | Path) -> Path:
        """Return the picture of the worst of kept predictions."""
        return self.gallery(predictions).with_name(MISTAKES)

    def details(self, predictions: str | Path) -> Path:
        """Return the file of what kept predictions are worth by class."""
        return self.gallery(predictions).with_name(DETAILS)


def cache_file(name: str) -> Path:
    """Return a file in archfront's part of the user's cache: XDG_CACHE_HOME, else ~/.cache."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    folder = Path(cache, "archfront") if os.path.isabs(cache) else Path(EARLIER_CACHE)
    return Path(os.path.abspath(folder.expanduser() / name))


def make_folder(folder: Path) -> list[Path]:
    """Make a study's folder with its parents; return those that were not there, the inner first.

    Raises:
        StudyError: If nothing may be written there, or a file has the name of a parent.
    """
    try:
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        raise StudyError(
            f"tracking.root: {folder} cannot be made: {error.strerror}. Give a folder that can "
            "be written, as tracking.root=FOLDER."
        ) from None
    return missing


def remove_folders(made: Sequence[Path]) -> None:
    """Remove a folder with its content, and the parents made with it that are empty now."""
    shutil.rmtree(made[0], ignore_errors=True)
    with contextlib.suppress(OSError):
        for parent in made[1:]:
            parent.rmdir()


def default_root() -> Path:
    """Return the root from the environment, else ``mlruns`` in the working folder."""
    return plain_path(os.environ.get(ROOT_VARIABLE) or "mlruns")


def studies(root: Path) -> list[str]:
    """Return the names of the studies below a root."""
    try:
        folders = os.listdir(root / "studies")
    except OSError:
        return []
    return sorted(name for name in folders if is_study(root, name))


def is_study(root: Path, name: str) -> bool:
    """Return whether there is a study of a name below a root."""
    is_name = os.path.basename(name) == name and name not in ("", os.curdir, os.pardir)
    return is_name and os.path.exists(os.path.join(root, "studies", name, "study.yaml"))


def existing(root: Path, name: str) -> StudyPaths:
    """Return the paths of a study that is there.

    Raises:
        StudyError: If it is not, with the names of those that are.
    """
    known = studies(root)
    if name not in known:
        there = f"There are: {', '.join(known)}." if known else "There is none yet."
        raise StudyError(
            f"There is no study {name!r} in {root}. {there} Another folder is chosen by "
            f"--root or {ROOT_VARIABLE}; archfront run study={name} ... starts one."
        )
    return StudyPaths(root, name)
