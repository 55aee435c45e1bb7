"""A server of ``archfront serve`` in a program: its studies, their fronts and predictions."""

from __future__ import annotations

import shutil
import tempfile
import time
import weakref
from collections import deque
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from archfront.search.api.export_call import FORMAT, ExportKeywords, check_export
from archfront.search.api.given_images import given_images
from archfront.search.api.keywords import Names, check_options, names_of
from archfront.search.api.remote_files import archive_file, check_folder, image_bytes, unpacked
from archfront.search.commands.consoles import print_note
from archfront.search.commands.event_following import ServerEvent
from archfront.search.commands.refit import RefitOptions
from archfront.search.commands.remote_run import asked_body
from archfront.search.commands.server_connection import LONG_S, ServerConnection
from archfront.search.commands.watch import GOING_ON, watch
from archfront.search.config.value_words import words_of
from archfront.search.errors import ArchfrontError, ArtifactError, StudyStoppedError
from archfront.trainers.files import plain_path

if TYPE_CHECKING:
    import pandas as pd

# Seconds between two looks at a task.
TASK_S = 1.0
# Fields of a request for full trainings.
REFIT_FIELDS = ("members", "epochs", "seeds", "ema", "patience", "distill", "teaching")


class Client:
    """A server of ``archfront serve``, with the calls of the package itself.

    ::

        server = af.Client("https://host:8000")          # the token is in ARCHFRONT_TOKEN
        study = server.run("study=flowers", {"data.root": "/data/flowers"})
        study.wait().front                               # a pandas DataFrame
        study.export("knee", member="knee"); study.predict("photo.jpg")
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        """Connect with a server.

        Args:
            url: Its address.
            token: The token; that of ``ARCHFRONT_TOKEN`` when None.

        Raises:
            ConfigError: If the address is none.
        """
        self._connection = ServerConnection(url, token)

    def run(self, *options: str | Mapping[str, Any], start: bool = True) -> RemoteStudy:
        """Make a study, which starts when its turn comes, and return it at once.

        Args:
            options: As those of ``archfront.run``; paths are those of the server.
            start: Whether it starts by itself; else when it is resumed.

        Raises:
            ConfigError: With everything that is wrong with the options.
            RequestError: If there is a study of this name.
        """
        body = asked_body(words_of(options))
        made = self._connection.post("studies", body={**body, "start": start})
        return RemoteStudy(self._connection, made["name"])

    def studies(self) -> list[RemoteStudy]:
        """Return the studies of the server."""
        listed = self._connection.get("studies")
        return [RemoteStudy(self._connection, study["name"]) for study in listed]

    def open(self, name: str) -> RemoteStudy:
        """Return a study of the server.

        Raises:
            RequestError: If there is no study of this name.
        """
        self._connection.get("studies", name)
        return RemoteStudy(self._connection, name)

    def upload(self, name: str, archive: str | Path) -> str:
        """Make a dataset of a zip or tar archive, and return its root for ``data.root``.

        Raises:
            ConfigError: If the name is none.
            ArtifactError: If the archive is not there, or cannot be read.
            RequestError: If the archive is refused, or the name is taken.
        """
        with archive_file(archive).open("rb") as file:
            made = self._connection.post(
                "datasets", "upload", body=file, limit_s=LONG_S, name=name
            )
        return str(made["root"])

    def datasets(self) -> list[dict[str, Any]]:
        """Return the datasets of the server: ``name``, ``root`` and where they are from."""
        found: list[dict[str, Any]] = self._connection.get("datasets")
        return found

    def __repr__(self) -> str:
        """Return the server in one line, without the token."""
        return f"<Client of {self._connection.url}>"


class RemoteStudy:
    """A study of a server; everything is asked for when it is needed.

    Attributes:
        name: Name of the study.
    """

    def __init__(self, connection: ServerConnection, name: str) -> None:
        self.name, self._connection = name, connection
        self._folder: Path | None = None

    @property
    def info(self) -> dict[str, Any]:
        """Return what the server says of the study: state, counts, configuration."""
        found: dict[str, Any] = self._get()
        return found

    @property
    def state(self) -> str:
        """Return ``waiting``, ``running``, ``paused``, ``finished``, ``stopped``, ``failed``..."""
        return str(self.info["state"])

    @property
    def front(self) -> pd.DataFrame:
        """Return the front, fastest first: the columns of ``archfront front --json``."""
        return self.front_under()

    def front_under(self, *, best: int | None = None, **limits: float) -> pd.DataFrame:
        """Return the front of the trials within limits, as ``front_under(latency_ms=5, best=1)``.

        Args:
            best: Only so many members, the most accurate ones.
            limits: Largest value of each cost.
        """
        import pandas as pd

        under = [f"{name}:{limit}" for name, limit in limits.items()]
        rows = self._get("front", under=under or None, best=best)["members"]
        for row in rows:
            scores = row.pop("test") or {}
            row.update({f"test_{name}": value for name, value in scores.items()})
        return pd.DataFrame(rows)

    @property
    def trials(self) -> pd.DataFrame:
        """Return all trials with an outcome, by number."""
        import pandas as pd

        rows: list[dict[str, Any]] = []
        while True:
            page = self._get("trials", offset=len(rows), limit=1000)
            rows += page["trials"]
            if not page["trials"] or len(rows) >= page["total"]:
                return pd.DataFrame(rows)

    @property
    def report(self) -> Path:
        """Return the path of the report, which is downloaded into a folder of this program."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="archfront-"))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        file = self._folder / "report.html"
        return self._connection.download(file, "studies", self.name, "report")

    def events(self) -> Iterator[ServerEvent]:
        """Yield the events of the study as they happen, from a snapshot until it ends."""
        for event in self._connection.events("studies", self.name, "events"):
            yield event
            study = event.content if event.kind == "study" else event.content.get("study")
            if event.kind == "removed" or (study and study["state"] not in GOING_ON):
                break

    def wait(self, *, quiet: bool = False) -> RemoteStudy:
        """Wait until the study ends, and return it.

        Args:
            quiet: Whether nothing is printed.

        Raises:
            StudyStoppedError: If it ended without being finished.
        """
        if not quiet:
            watch(self._connection, self.name)
        else:
            deque(self.events(), maxlen=0)
        info = self.info
        if info["state"] != "finished":
            raise StudyStoppedError(
                f"The study {self.name!r} is {info['state']}: {info['reason']}"
            )
        return self

    def pause(self) -> None:
        """Let the study end after what is recorded, until it is resumed."""
        self._post("pause")

    def resume(self) -> None:
        """Let the study go on where it ended."""
        self._post("resume")

    def cancel(self) -> None:
        """End the study within seconds; what is recorded stays."""
        self._post("cancel")

    def extend(self, **budget: float | None) -> None:
        """Give the study more ``minutes`` or ``trials``; a finished one goes on."""
        self._post("extend", body=budget)

    def refit(
        self,
        *,
        members: Names = "all",
        epochs: int | None = None,
        seeds: int = RefitOptions.seeds,
        ema: float = RefitOptions.ema,
        patience: int | None = None,
        distill: bool = False,
        teaching: float = RefitOptions.teaching,
        quiet: bool = False,
    ) -> pd.DataFrame:
        """Train members in full on the server, and return one row for each, as ``Study.refit``.

        Raises:
            ArchfrontError: If a keyword is wrong, or the training fails.
        """
        import pandas as pd

        options = RefitOptions(names_of(members), epochs, seeds, ema, patience, distill, teaching)
        check_options(options)
        body = {name: getattr(options, name) for name in REFIT_FIELDS}
        self._finished(self._post("refit", body=body), quiet=quiet)
        summary = self._get("refits")["summary"]
        return pd.DataFrame(summary["members"] if summary else [])

    def export(
        self,
        out: str | Path,
        *,
        member: str | int = "knee",
        format: Names = FORMAT,
        quiet: bool = False,
        **keywords: Unpack[ExportKeywords],
    ) -> Path:
        """Write a member as files to deploy on the server, and bring them here.

        Args:
            out: A new folder, or an empty one, of this machine.
            member: ``knee``, ``fastest``, ``best``, a trial or the id of a candidate.
            format: One or several formats.
            quiet: Whether nothing is printed.
            keywords: As those of ``Study.export``.

        Returns:
            The folder.

        Raises:
            ArchfrontError: If the folder cannot be taken, or the export fails.
        """
        folder = plain_path(out)
        check_export(member, format, keywords)
        overwrite = keywords.pop("overwrite", False)
        check_folder(folder, overwrite=overwrite)
        body = {"member": str(member), "formats": list(names_of(format)), **keywords}
        task = self._finished(self._post("exports", body=body), quiet=quiet)
        with tempfile.TemporaryDirectory(prefix="archfront-") as place:
            path = ("studies", self.name, "exports", task["id"], "download")
            file = self._connection.download(Path(place) / "export.zip", *path)
            check_folder(folder, overwrite=overwrite)
            return unpacked(file, folder)

    def predict(
        self,
        images: Any,
        *,
        min_score: float | None = None,
        export: str | None = None,
        format: str | None = None,
    ) -> Any:
        """Return what an exported member says of images, as ``Member.predict`` of a local study.

        Args:
            images: As those of ``Member.predict``, or the bytes of an image's file.
            min_score: From which score on labels and objects count; the export's when None.
            export: Id of an export; the latest one when None.
            format: Which of its formats.

        Returns:
            The answer as a dictionary; for many images, a list of them.

        Raises:
            ArchfrontError: If nothing is exported yet, or an image cannot be read.
        """
        is_one, sources = given_images(images)
        query = {"export": export, "format": format, "min_score": min_score}
        answers = [
            self._post("predictions", body=image_bytes(source), **query) for source in sources
        ]
        return answers[0] if is_one else answers

    def _finished(self, task: dict[str, Any], *, quiet: bool) -> dict[str, Any]:
        """Wait until a task has finished, and return it.

        Raises:
            ArtifactError: If it ended otherwise.
        """
        told = ""
        while True:
            if task["state"] != told and not quiet:
                print_note(f"{task['kind']} of {self.name!r} on the server: {task['state']}")
            told = task["state"]
            if told not in ("waiting", "running"):
                break
            time.sleep(TASK_S)
            task = self._connection.get("tasks", task["id"])
        if told != "finished":
            raise ArtifactError(f"The {task['kind']} of {self.name!r} {told}: {task['message']}")
        return task

    def _get(self, *path: str, **query: Any) -> Any:
        return self._connection.get("studies", self.name, *path, **query)

    def _post(self, *path: str, **more: Any) -> Any:
        return self._connection.post("studies", self.name, *path, **more)

    def __repr__(self) -> str:
        """Return the study in one line."""
        return f"<RemoteStudy {self.name!r} of {self._connection.url}>"

    def _repr_html_(self) -> str:
        """Return the study with its front, as a notebook shows it."""
        try:
            state, table = self.state, self.front
        except ArchfrontError as error:
            return f"<b>{escape(self.name)}</b>: {escape(str(error).splitlines()[0])}"
        rows: str = table.to_html(index=False, border=0, float_format="{:.4g}".format)
        return f"<b>{escape(self.name)}</b>, {escape(state)}: the front, fastest first.{rows}"
