"""The calls on datasets: folders of the server that were named, or archives that were uploaded."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from sqlalchemy import delete, insert, select
from sqlalchemy.exc import IntegrityError
from starlette.concurrency import run_in_threadpool

from archfront.search.config.value_words import words_of
from archfront.search.errors import RequestError
from archfront.search.service.service_database import ServiceDatabase
from archfront.search.service.service_settings import ServiceSettings
from archfront.search.service.study_requests import asked_study
from archfront.search.service.study_views import StudyViews
from archfront.search.service.tables import DATASETS
from archfront.search.service.task_rows import OF_DATASETS, OPEN, TaskRow, new_id
from archfront.search.service.task_runner import TaskRunner
from archfront.search.service.unpack import Unpacked
from archfront.search.service.verb_process import bare_environment, end_tree
from archfront.trainers.data.images import EXTENSIONS
from archfront.trainers.data.readers.paths import is_image_name, is_visible
from archfront.trainers.machine import machine_failure
from archfront.trainers.words import count_of, quoted

logger = logging.getLogger(__name__)

# Bytes of the disk that uploads leave free.
FREE_BYTES = 1_000_000_000
# What an archive may unpack to, over the largest upload, and the files in it.
TIMES, N_FILES = 5, 200_000
# The same over its own size: images hardly become smaller in an archive; and what any may.
TIMES_OWN, LEAST_BYTES = 100, 200_000_000
# Seconds that unpacking may take, and after which what an upload left is removed.
UNPACK_S, LEFT_S = 1800.0, 24 * 3600.0
# Uploads at once.
MOST_UPLOADS = 2
INCOMING = ".incoming"
# What the system says of a name that is there: a folder with files, or a file.
TAKEN = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)
# States of a study, as a list has them, in which it reads its data or is about to.
GOING_ON = ("waiting", "running", "pausing", "cancelling")
# Files that an error names.
N_NAMED = 5


class DatasetCalls:
    """The calls on datasets.

    Args:
        settings: Those of the server.
        database: The service's own tables.
        tasks: Runs profiles.
        views: What is known of the studies that may use a dataset.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        database: ServiceDatabase,
        tasks: TaskRunner,
        views: StudyViews,
    ) -> None:
        self._settings, self._database = settings, database
        self._tasks, self._views = tasks, views
        self._turns = threading.BoundedSemaphore(MOST_UPLOADS)

    def listed(self) -> list[dict[str, Any]]:
        """Return the datasets by name."""
        query = select(DATASETS).order_by(DATASETS.c.name)
        with self._database.reading() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def get(self, name: str) -> dict[str, Any]:
        """Return a dataset.

        Raises:
            RequestError: If there is none of this name.
        """
        query = select(DATASETS).where(DATASETS.c.name == name)
        with self._database.reading() as connection:
            found = connection.execute(query).mappings().first()
        if found is None:
            raise RequestError(404, "no_such_dataset", f"There is no dataset {quoted(name)}.")
        return dict(found)

    def add(self, name: str, root: str, origin: str = "server") -> dict[str, Any]:
        """Add a folder of the server as a dataset.

        Raises:
            RequestError: If the folder is not one that requests may use, or the name is taken.
        """
        folder = Path(root).expanduser()
        if not folder.is_absolute() or not self._holds(folder):
            allowed = [str(place) for place in self._settings.data_roots]
            where = f"within {' or '.join(allowed)}" if allowed else "nowhere"
            raise RequestError(
                422,
                "foreign_folder",
                f"root: a folder of data may lie {where}; got {quoted(root)}. The server is given "
                "more folders with archfront serve --data-root DIR.",
                "root",
            )
        if not folder.is_dir():
            message = f"root: there is no folder {quoted(root)}."
            raise RequestError(422, "no_such_folder", message, "root")
        now = self._database.now()
        row = {"name": name, "root": str(folder), "origin": origin, "created": now}
        try:
            with self._database.begin() as connection:
                connection.execute(insert(DATASETS).values(row))
        except IntegrityError:
            raise _taken(name) from None
        return self.get(name)

    def remove(self, name: str) -> None:
        """Remove a dataset: of an uploaded one its files too, of a folder the name alone.

        Raises:
            RequestError: If a study that waits or runs, or a task of one, uses it.
        """
        row = self.get(name)
        own = self._settings.uploads / name
        if row["origin"] == "uploaded":
            self._check_unused(name, own)
        with self._database.begin() as connection:
            connection.execute(delete(DATASETS).where(DATASETS.c.name == name))
        self._tasks.forget(name, is_dataset=True)
        if row["origin"] == "uploaded":
            shutil.rmtree(own, ignore_errors=True)

    def _check_unused(self, name: str, folder: Path) -> None:
        """Raise a RequestError where a study reads an uploaded dataset now, or soon."""
        using = {one.name: "Cancel it" for one in self._views.listed() if one.state in GOING_ON}
        for task in self._tasks.rows.listed(states=OPEN):
            if task.kind not in OF_DATASETS:
                using.setdefault(task.subject, f"Cancel its task {task.kind}")
        for study, advice in using.items():
            try:
                data = self._views.shown(study)["config"].get("data", {})
            except RequestError:  # deleted meanwhile
                continue
            if any(_is_below(data.get(option), folder) for option in ("root", "annotations")):
                raise RequestError(
                    409,
                    "dataset_in_use",
                    f"The study {study!r} uses the dataset {name!r}. {advice} first, or wait for "
                    "its end.",
                )

    def profile(
        self, name: str, choices: Mapping[str, str], options: Mapping[str, Any], *, by: str = ""
    ) -> TaskRow:
        """Start a look at every image of a dataset.

        Args:
            name: Name of the dataset.
            choices: Names of yaml files by group, as the task.
            options: Values by option, as those of the data.
            by: Name of the token of whoever asks.

        Raises:
            ConfigError: With every problem of the choices and options.
            RequestError: If there is no such dataset, or it is looked at already.
        """
        given = {**options, "data.root": self.get(name)["root"]}
        asked_study(self._settings, "profile", choices, given)
        id = new_id()
        page = self._tasks.folder(id) / "profile.html"
        words = ["profile", *words_of([dict(choices), given]), "--json", "--plain"]
        return self._tasks.add("profile", name, [*words, "--html", str(page)], by=by, id=id)

    def profiled(self, name: str) -> TaskRow:
        """Return the latest profile of a dataset that is finished.

        Raises:
            RequestError: If there is none yet.
        """
        self.get(name)
        for row in self._tasks.rows.listed(subject=name, kind="profile"):
            if row.state == "finished" and (self._tasks.folder(row.id) / "printed").is_file():
                return row
        raise RequestError(
            404, "no_profile", f"The dataset {name!r} has no profile yet. POST to this path."
        )

    async def upload(self, name: str, body: AsyncIterator[bytes]) -> dict[str, Any]:
        """Take an archive and unpack it as a dataset; of one that is refused nothing is left.

        Raises:
            RequestError: If the archive is refused, the name is taken, or the disk takes no files.
        """
        if name in [row["name"] for row in await run_in_threadpool(self.listed)]:
            raise _taken(name)
        if not self._turns.acquire(blocking=False):
            raise RequestError(
                503, "busy", f"{MOST_UPLOADS} uploads are coming in. Ask again later."
            )
        place = None
        try:
            place = await run_in_threadpool(self._incoming)
            archive = place / "archive"
            with archive.open("wb") as file:
                async for chunk in body:
                    await run_in_threadpool(file.write, chunk)
            found = await run_in_threadpool(self._unpack, archive, place / "data")
            await run_in_threadpool(_check_images, place / "data")
            return await run_in_threadpool(self._keep, name, place / "data", found)
        except OSError as error:
            raise self._unkept(error) from error
        finally:
            self._turns.release()
            if place is not None:
                await run_in_threadpool(shutil.rmtree, place, ignore_errors=True)

    def _holds(self, folder: Path) -> bool:
        try:
            return self._settings.holds(folder)
        except (OSError, RuntimeError, ValueError):  # a loop of links, a null byte
            return False

    def _incoming(self) -> Path:
        """Return a fresh folder for an upload, and remove what earlier ones left."""
        incoming = self._settings.uploads / INCOMING
        incoming.mkdir(parents=True, exist_ok=True)
        for left in incoming.iterdir():
            if time.time() - left.stat().st_mtime > LEFT_S:
                shutil.rmtree(left, ignore_errors=True)
        needed = FREE_BYTES + self._settings.max_upload_bytes
        if shutil.disk_usage(incoming).free < needed:
            raise RequestError(
                507,
                "machine",
                f"Uploads need {needed / 1e9:.1f} GB of free disk on the server, which is less.",
            )
        return Path(mkdtemp(dir=incoming))

    def _unkept(self, error: OSError) -> RequestError:
        """Return the error for an upload that the disk of the server does not take."""
        folder = self._settings.uploads
        failure = machine_failure(error)
        if failure is not None:
            text = f"{failure.cause}. {failure.remedy}"
        elif error.errno == errno.EXDEV:
            text = f"{INCOMING} in it is on another file system. Have both on one."
        elif error.errno in (errno.EACCES, errno.EPERM):
            text = "The server may not write there. Let its user write to this folder."
        else:
            text = f"{error.strerror or type(error).__name__}. Look at this folder on the server."
        logger.error("An upload cannot be kept in %s", folder, exc_info=error)
        return RequestError(507, "machine", f"Uploads cannot be kept in {folder}: {text}")

    def _unpack(self, archive: Path, folder: Path) -> Unpacked:
        """Unpack an archive in a process of its own.

        Raises:
            RequestError: If it is refused.
        """
        folder.mkdir()
        own = max(LEAST_BYTES, TIMES_OWN * archive.stat().st_size)
        most = min(own, TIMES * self._settings.max_upload_bytes)
        numbers = (most, N_FILES, FREE_BYTES)
        module = "archfront.search.service.unpack"
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", module, str(archive), str(folder), *map(str, numbers)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=bare_environment(),
            start_new_session=True,
        )
        try:
            printed, _ = process.communicate(timeout=UNPACK_S)
        except subprocess.TimeoutExpired:
            raise RequestError(
                422, "bad_archive", f"The archive took over {UNPACK_S:g} s to be unpacked."
            ) from None
        finally:
            if process.poll() is None:
                end_tree(process.pid)
                process.communicate()
        try:
            content = json.loads(printed)
        except ValueError:
            raise RequestError(
                422, "bad_archive", "The archive could not be unpacked with the memory of one."
            ) from None
        if "errno" in content:
            raise OSError(content["errno"], content["strerror"])
        if "problem" in content:
            raise RequestError(422, "bad_archive", content["problem"])
        return Unpacked(**content)

    def _keep(self, name: str, folder: Path, found: Unpacked) -> dict[str, Any]:
        target = self._settings.uploads / name
        try:
            folder.rename(target)  # onto a folder with files it fails
        except OSError as error:
            if error.errno in TAKEN:
                raise _taken(name) from None
            raise
        try:
            row = self.add(name, os.path.join(target, found.top), "uploaded")
        except BaseException:
            shutil.rmtree(target, ignore_errors=True)
            raise
        return {**row, "n_files": found.n_files, "n_bytes": found.n_bytes}


def _check_images(folder: Path) -> None:
    """Raise a RequestError unless a folder has an image in it, however deep."""
    names = [name for _, _, files in os.walk(folder) for name in files]
    if any(is_image_name(name) and is_visible(name) for name in names):
        return
    shown = ", ".join(quoted(name, 40) for name in sorted(names)[:N_NAMED])
    more = f" and {len(names) - N_NAMED} more" if len(names) > N_NAMED else ""
    raise RequestError(
        422,
        "no_images",
        f"The archive has no image. It has {count_of(len(names), 'file')}: {shown}{more}. The "
        f"name of an image ends in one of {', '.join(sorted(EXTENSIONS))}.",
    )


def _is_below(path: Any, folder: Path) -> bool:
    return isinstance(path, str) and Path(path).resolve().is_relative_to(folder.resolve())


def _taken(name: str) -> RequestError:
    return RequestError(
        409, "dataset_exists", f"There is a dataset {name!r} already. Give another name.", "name"
    )
