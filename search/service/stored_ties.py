"""The ties of the fronts of studies, kept for the next start of a server.

Of a front of a hundred members thousands of pairs are tested, which takes seconds.
"""

from __future__ import annotations

import json
from contextlib import suppress

from sqlalchemy import BigInteger, Column, String, Table, Text, delete, insert, select
from sqlalchemy.exc import IntegrityError

from archfront.search.errors import ServiceError
from archfront.search.front.members import final_evaluations
from archfront.search.results.known_ties import KnownTies, training_of
from archfront.search.results.results import Results
from archfront.search.service.read_study import ReadStudy
from archfront.search.service.service_database import ServiceDatabase
from archfront.search.service.study_summary import Stamp
from archfront.search.service.tables import METADATA

# Pairs that were tested of a study that runs until its ties are written again.
N_NEW = 500

TIES = Table(
    "service_ties",
    METADATA,
    Column("name", String(255), primary_key=True),
    # The id of the study, its journal and the bytes of it that were read.
    Column("study", String(80), nullable=False),
    Column("journal", String(80), nullable=False),
    Column("n_bytes", BigInteger, nullable=False),
    # The trainings, and the places among them of the pairs that tie, as JSON.
    Column("content", Text, nullable=False),
)


class StoredTies:
    """The ties of the studies of a root.

    Args:
        database: Where they are kept.
    """

    def __init__(self, database: ServiceDatabase) -> None:
        self._database = database
        self._n_written: dict[str, int] = {}

    def of(self, results: Results, stamp: Stamp | None) -> KnownTies:
        """Return the ties that are known of a study which is read for the first time.

        Args:
            results: Its records.
            stamp: Of them.
        """
        name, header = results.paths.study, results.header
        self._n_written[name] = 0
        if header is None or stamp is None or not stamp.journal:
            return KnownTies()
        found = None
        with suppress(ServiceError), self._database.reading() as connection:
            found = connection.execute(select(TIES).where(TIES.c.name == name)).first()
        is_same = found is not None and (found.study, found.journal) == (header.id, stamp.journal)
        if found is None or not is_same or found.n_bytes > stamp.n_bytes:
            return KnownTies()
        trainings, pairs = json.loads(found.content)
        known = [(trial, rung, attempt, path) for trial, rung, attempt, path in trainings]
        return KnownTies(known, [(known[one], known[other]) for one, other in pairs])

    def keep(self, study: ReadStudy, stamp: Stamp) -> None:
        """Write the ties of a front that was made, where there are enough new ones.

        Args:
            study: It.
            stamp: Of its records.
        """
        results = study.results
        name, header, ties = results.paths.study, results.header, results.ties
        n_new = ties.n_tested - self._n_written.get(name, 0)
        enough = N_NEW if results.state == "running" else 1
        if header is None or not stamp.journal or n_new < enough:
            return
        final = {e.trial: e for e in final_evaluations(study.front_trials)}
        front = [final[member.trial] for member in study.front]
        trainings = sorted(training_of(evaluation) for evaluation in front)
        places = {training: place for place, training in enumerate(trainings)}
        pairs = [(places[one], places[other]) for one, other in ties.tied(front)]
        values = {
            "name": name,
            "study": header.id,
            "journal": stamp.journal,
            "n_bytes": stamp.n_bytes,
            "content": json.dumps([trainings, pairs]),
        }
        self._n_written[name] = ties.n_tested
        # They are tested again where they cannot be kept, or where another server does so.
        with suppress(ServiceError, IntegrityError), self._database.begin() as connection:
            connection.execute(delete(TIES).where(TIES.c.name == name))
            connection.execute(insert(TIES).values(values))

    def forget(self, name: str) -> None:
        """Forget a study that was deleted.

        Raises:
            ServiceError: If the database does not answer.
        """
        self._n_written.pop(name, None)
        with self._database.begin() as connection:
            connection.execute(delete(TIES).where(TIES.c.name == name))
