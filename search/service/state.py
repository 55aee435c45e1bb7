"""The service behind the routes: where studies lie, what they found, who may ask, what runs."""

from __future__ import annotations

from archfront.search.errors import RequestError
from archfront.search.front.members import FrontMember
from archfront.search.records.paths import StudyPaths
from archfront.search.records.postgres import is_postgres
from archfront.search.results.results import Results
from archfront.search.service.dataset_calls import DatasetCalls
from archfront.search.service.metrics import RequestCounts
from archfront.search.service.own_points import OwnPoints
from archfront.search.service.read_studies import ReadStudies
from archfront.search.service.read_study import ReadStudy
from archfront.search.service.service_database import ServiceDatabase
from archfront.search.service.service_settings import ServiceSettings
from archfront.search.service.study_calls import StudyCalls
from archfront.search.service.study_rows import StudyRows
from archfront.search.service.study_views import StudyViews
from archfront.search.service.summary_reader import SummaryReader
from archfront.search.service.supervisor import Supervisor
from archfront.search.service.task_runner import TaskRunner
from archfront.search.service.tokens import Tokens
from archfront.search.service.verb_process import VerbProcesses
from archfront.search.tracking.mlflow_database import NAME, database_uri

__all__ = ["ReadStudy", "Service"]


class Service:
    """What routes call.

    Attributes:
        settings: How the server was started.
        database: The service's own tables.
        tokens: Who may ask.
        requests: Counts what was answered.
        verbs: Runs commands in processes of their own.
        records: Reads what studies found.
        summary_reader: Reads in the background what lists lack.
        supervisor: Runs the studies.
        views: What is known of studies.
        studies: The calls on studies.
        tasks: Runs what takes minutes to hours beside studies.
        datasets: The calls on datasets.
        points: The points of a team's own models beside fronts.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self.settings = settings
        settings.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.database = ServiceDatabase(settings.database, flag=settings.database_flag)
        self.tokens = Tokens(self.database)
        self.requests = RequestCounts()
        self.verbs = VerbProcesses(settings)
        self.records = ReadStudies(settings, self.database)
        self.summary_reader = SummaryReader(self.records)
        self.supervisor = Supervisor(settings, self.database)
        rows = StudyRows(self.database)
        self.views = StudyViews(settings, rows, self.records)
        self.studies = StudyCalls(
            settings, rows, supervisor=self.supervisor, verbs=self.verbs, views=self.views
        )
        self.tasks = TaskRunner(settings, self.database)
        self.datasets = DatasetCalls(settings, self.database, self.tasks, self.views)
        self.points = OwnPoints(self.database)

    def start(self) -> None:
        """Start what works in the background."""
        self.supervisor.start()
        self.tasks.start()
        self.summary_reader.start()

    def close(self) -> None:
        """End what works in the background; studies go on."""
        self.summary_reader.close()
        self.supervisor.close()
        self.tasks.close()
        self.verbs.close()
        self.database.close()

    @property
    def mlflow_store(self) -> str:
        """Return the URI of MLflow's store, as studies of this server write to it."""
        settings = self.settings
        if settings.mlflow_uri is not None:
            return settings.mlflow_uri
        if settings.storage_url is not None and is_postgres(settings.storage_url):
            return settings.storage_url
        return database_uri(settings.root / NAME)

    def names(self) -> list[str]:
        """Return the names of the studies that have begun, by name."""
        return self.records.names()

    def paths(self, name: str) -> StudyPaths:
        """Return where the files of a study that has begun lie.

        Raises:
            RequestError: If there is none of this name.
        """
        if not self.views.has_begun(name):
            raise _not_begun(name)
        return StudyPaths(self.settings.root, name)

    def read(self, name: str) -> ReadStudy:
        """Return the records of a study as they are now, read once until they change.

        Raises:
            RequestError: If there is no study of this name, or it has yet to write what it is.
            StudyError: If its records cannot be read.
        """
        self.paths(name)
        study = self.records.read(name)
        if study.results.header is None:
            raise _not_begun(name)
        return study

    def results(self, name: str) -> Results:
        """Return the records of a study as they are now; errors are those of ``read``."""
        return self.read(name).results

    def front(self, name: str) -> list[FrontMember]:
        """Return the front of a study, fastest first; errors are those of ``read``."""
        return self.read(name).front


def _not_begun(name: str) -> RequestError:
    return RequestError(404, "no_such_study", f"There is no study {name!r} that has begun.")
