"""The service's own tables; what a study found is in its records, never here.

The names begin with ``service_``, since Optuna and MLflow may keep tables of theirs in the same
database. Times are seconds since the epoch.
"""

from __future__ import annotations

from sqlalchemy import Column, Float, Integer, MetaData, String, Table, Text

# Raised by one with every change of a table, with the statements of the change in ``MIGRATIONS``.
VERSION = 2
# Statements from a version to the next one, by the version they start from.
MIGRATIONS: dict[int, tuple[str, ...]] = {
    1: ("ALTER TABLE service_studies ADD COLUMN command TEXT NOT NULL DEFAULT ''",),
}

METADATA = MetaData()

SCHEMA = Table("service_schema", METADATA, Column("version", Integer, nullable=False))

STUDIES = Table(
    "service_studies",
    METADATA,
    Column("name", String(80), primary_key=True),
    # run, pause or cancel: what people asked for last.
    Column("wanted", String(16), nullable=False),
    # One of State in study_rows.py: what became of it.
    Column("state", String(16), nullable=False),
    Column("reason", Text, nullable=False, default=""),
    # The composed configuration as JSON, without where the server keeps records.
    Column("config", Text, nullable=False),
    # Raised when the configuration of a study changes; its driver's is in running_revision.
    Column("revision", Integer, nullable=False, default=0),
    Column("running_revision", Integer, nullable=False, default=0),
    Column("created", Float, nullable=False),
    Column("created_by", String(120), nullable=False, default=""),
    # The equal command line; empty where there is none.
    Column("command", Text, nullable=False, default=""),
    # The server that looks after the study, until its lease ends.
    Column("owner", String(200)),
    Column("lease_until", Float, nullable=False, default=0.0),
    Column("heartbeat", Float, nullable=False, default=0.0),
    Column("pid", Integer),
    # Unexpected ends of the driver since something was recorded, and how much was recorded then.
    Column("attempts", Integer, nullable=False, default=0),
    Column("recorded", Integer, nullable=False, default=0),
)

TOKENS = Table(
    "service_tokens",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("name", String(120), nullable=False),
    Column("hash", String(64), nullable=False, unique=True),
    Column("scope", String(8), nullable=False),
    Column("created", Float, nullable=False),
    Column("last_used", Float),
    # Of a session, which a token made by a login and which ends by itself.
    Column("parent", String(32)),
    Column("expires", Float),
)

DATASETS = Table(
    "service_datasets",
    METADATA,
    Column("name", String(80), primary_key=True),
    Column("root", Text, nullable=False),
    # uploaded, or a folder of the machine.
    Column("origin", String(16), nullable=False),
    Column("created", Float, nullable=False),
    Column("fingerprint", String(64)),
)
