"""A recorded study in a program or a notebook: front, plot, report, members, refit, export."""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from archfront.search.api.export_call import FORMAT, ExportKeywords, export
from archfront.search.api.keywords import Names, check_options, names_of
from archfront.search.api.member_handle import Member
from archfront.search.commands.consoles import new_console
from archfront.search.commands.refit import RefitOptions, refit_members
from archfront.search.commands.report import write_report
from archfront.search.commands.study_text import (
    read_results,
    root_or_default,
    runs_uri,
    state_text,
    url_or_default,
)
from archfront.search.errors import ArchfrontError, StudyError
from archfront.search.front.members import FrontMember
from archfront.search.report.pages import Unwritten
from archfront.search.results.results import Results
from archfront.search.results.select_members import chosen_trials

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

# Columns of the front that a notebook shows first.
SHOWN = ("trial", "backbone", "head", "input_size", "metric", "metric_low", "metric_high")
SHOWN_COSTS = ("latency_ms", "params_m", "macs_g", "is_knee")


def open_study(
    name: str, *, root: str | Path | None = None, storage_url: str | None = None
) -> Study:
    """Return a recorded study.

    Args:
        name: Name of the study.
        root: Folder of the studies; ``ARCHFRONT_ROOT`` or ``./mlruns`` when None.
        storage_url: SQLAlchemy URL, for a study that was run with one.

    Raises:
        StudyError: If there is no such study, or its records cannot be read.
    """
    return Study(name, root_or_default(root), url_or_default(storage_url))


class Study:
    """A recorded study; everything is read from its records when it is asked for.

    Attributes:
        name: Name of the study.
        folder: Where its files lie.
    """

    def __init__(self, name: str, root: Path, storage_url: str | None = None) -> None:
        """Open a study.

        Args:
            name: Name of the study.
            root: Folder of the studies; absolute.
            storage_url: SQLAlchemy URL of the records; None for a journal in the folder.

        Raises:
            StudyError: If there is no such study, or its records cannot be read.
        """
        self.name, self._root, self._storage_url = name, root, storage_url
        self.folder = self._results().paths.folder

    @property
    def state(self) -> str:
        """Return ``running``, ``finished``, ``interrupted``, ``failed``, or ``stopped``.

        A study is stopped when its records say that it runs and no process runs it.
        """
        return state_text(self._results())

    @property
    def front(self) -> pd.DataFrame:
        """Return the front, fastest first: the columns of ``archfront front --json``.

        Metrics on the test split have a column each, such as ``test_accuracy``.
        """
        return _front(self._results())

    def plot(self) -> go.Figure:
        """Return the front as an interactive figure.

        Raises:
            StudyError: If no candidate is trained yet.
        """
        results = self._results()
        if not results.front():
            raise StudyError(results.none_trained())
        from archfront.search.report import pages
        from archfront.search.report.figures import front_figure

        return front_figure(pages.record(results).picture)

    @property
    def report(self) -> Path:
        """Return the path of ``report.html``, which is written when it is missing.

        Raises:
            StudyError: If nothing is recorded yet.
        """
        results = self._results()
        if not results.paths.report.is_file():
            lacking: list[Unwritten] = []
            write_report(results, lacking.append, storage_url=self._storage_url)
            if lacking and not results.paths.report.is_file():
                raise lacking[0].error
        return results.paths.report

    def member(self, name: str | int = "knee", *, proxy: bool | None = None) -> Member:
        """Return a trained candidate.

        Args:
            name: ``knee``, ``fastest``, ``best``, the trial or the id of a candidate.
            proxy: Whether the weights of its short training are meant; None for those of its full
                training where there is one.

        Raises:
            StudyError: If the name stands for none, or for several.
        """
        trials = chosen_trials(self._results(), [str(name)])
        if len(trials) != 1:
            raise StudyError(f"{name!r} stands for {len(trials)} candidates. Give one.")
        return Member(self._results, trials[0], proxy)

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
        mlflow_uri: str | None = None,
        quiet: bool = False,
    ) -> pd.DataFrame:
        """Train members in full, as ``archfront refit`` does, and return one row for each.

        Args:
            members: ``knee``, ``fastest``, ``best``, trials or ids; ``all`` for the whole front.
            epochs: Of each training; 5 times those of the search when None.
            seeds: Trainings of each member.
            ema: Decay of averaged weights; 0 for none.
            patience: Epochs without a better metric that end a training; half of all when None.
            distill: Whether the best member teaches the others.
            teaching: Share of the loss that is the teacher's.
            mlflow_uri: MLflow's store, where it is not in the root.
            quiet: Whether nothing is printed.
        """
        import pandas as pd

        options = RefitOptions(
            members=names_of(members),
            epochs=epochs,
            seeds=seeds,
            ema=ema,
            patience=patience,
            distill=distill,
            teaching=teaching,
        )
        check_options(options)
        results = self._results()
        uri = runs_uri(results.begun().mlflow_uri, mlflow_uri, self._storage_url)
        options = replace(options, mlflow_uri=uri)
        found = refit_members(results, options, new_console(stderr=True, quiet=quiet))
        return pd.DataFrame([asdict(member) for member in found.members])

    def export(
        self,
        out: str | Path,
        *,
        member: str | int = "knee",
        format: Names = FORMAT,
        quiet: bool = False,
        **keywords: Unpack[ExportKeywords],
    ) -> Path:
        """Write a member as files to deploy, as ``archfront export`` does, return the folder.

        Args:
            out: A new folder, or an empty one.
            member: ``knee``, ``fastest``, ``best``, a trial or the id of a candidate.
            format: One or several formats.
            quiet: Whether nothing is printed.
            keywords: The other flags of the command: ``proxy``, ``batch``, ``dynamic_batch``,
                ``normalize_inside``, ``max_loss``, ``calibration``, ``no_latency``, ``overwrite``.

        Raises:
            ArtifactError: If a format could not be made; the folder holds the others.
        """
        return export(self._results(), out, member=member, format=format, quiet=quiet, **keywords)

    def _results(self) -> Results:
        return read_results(self.name, self._root, self._storage_url)

    def __repr__(self) -> str:
        """Return the study in one line."""
        try:
            results = self._results()
            n_members = len(results.front())
        except ArchfrontError as error:
            return f"<Study {self.name!r}: {str(error).splitlines()[0]}>"
        members = "1 member" if n_members == 1 else f"{n_members} members"
        return (
            f"<Study {self.name!r}, {state_text(results)}, {members} on its front, in "
            f"{results.paths.folder}>"
        )

    def _repr_html_(self) -> str:
        """Return the study with its front, as a notebook shows it."""
        try:
            results = self._results()
            table = _front(results)
        except ArchfrontError as error:
            return f"<b>{escape(self.name)}</b>: {escape(str(error).splitlines()[0])}"
        head = f"<b>{escape(self.name)}</b>, {escape(state_text(results))}"
        if table.empty:
            return f"{head}: no candidate is trained yet."
        shown = table[[*SHOWN, *SHOWN_COSTS]]
        metric = results.objectives[0].name
        named = shown.rename(columns={name: name.replace("metric", metric) for name in SHOWN})
        rows: str = named.to_html(index=False, border=0, float_format="{:.4g}".format)
        return f"{head}: the front, fastest first.{rows}"


def _front(results: Results) -> pd.DataFrame:
    import pandas as pd

    rows = results.rows()
    for row in rows:
        scores = row.pop("test") or {}
        row.update({f"test_{name}": value for name, value in scores.items()})
    names = ["trial", "candidate_id", "backbone", "head", "input_size"]
    names += [field.name for field in fields(FrontMember) if field.name not in names]
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=names)
