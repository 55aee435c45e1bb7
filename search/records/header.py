"""The header of a study: what is stored once, when it starts, with the version of its form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from archfront.search.errors import StudyError
from archfront.search.records.applied_rule import AppliedRule, Choice
from archfront.search.records.codec import decode, encode
from archfront.search.records.objectives import Objective, Reference
from archfront.search.records.plan import Plan
from archfront.trainers.dataset_summary import DatasetSummary
from archfront.trainers.spec import Precision, Schedule

Content = dict[str, Any]

# The values of options that were ``auto``, by their path below ``space``.
Chosen = dict[str, Choice]
RECIPE = "recipe"
# What is measured of flips, where a rule asks.
SYMMETRIES = ("symmetries", "object_symmetries")
# Tags and hashes of first weights, by backbone.
WeightsKeys = dict[str, tuple[str | None, str]]

# The sections of the configuration that are read from the header.
SECTIONS = ("task", "data", "hardware", "space", "tracking")
# What a header's environment says beside the versions of libraries.
DEVICE, DEVICE_ID = "device", "device_id"


@dataclass(frozen=True)
class SpaceFacts:
    """The search space of a study.

    Attributes:
        size: Candidates that may be proposed.
        architectures: Architectures of them.
        recipes: Recipes of each architecture.
        fingerprint: Hash that tells the space from another one.
        dropped: Backbones, or sizes of them, that were left out, with the reason.
        chosen: What the options were set to that were ``auto``.
        weights: Tags and hashes of the first weights, for the backbones that have any.
        notes: What was found and chosen for the data and why, a line each.
        rules: The rules that had something to say of the data.
    """

    size: int
    architectures: int
    recipes: int
    fingerprint: str
    dropped: tuple[str, ...]
    chosen: Chosen = field(default_factory=dict)
    weights: WeightsKeys = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    rules: tuple[AppliedRule, ...] = ()


@dataclass(frozen=True)
class Environment:
    """The software and the device that a study began with.

    Attributes:
        versions: Version of Python and of each library, by name.
        device: The device of the latencies, in words.
        device_id: Id of its fingerprint; empty where it is not known.
    """

    versions: dict[str, str]
    device: str
    device_id: str = ""

    def as_dict(self) -> dict[str, str]:
        """Return all that is known of it by name, the versions first, as it is stored."""
        known = {DEVICE: self.device, DEVICE_ID: self.device_id}
        return {**self.versions, **{name: value for name, value in known.items() if value}}

    @classmethod
    def from_dict(cls, content: Mapping[str, str]) -> Environment:
        """Return the environment whose ``as_dict`` some content is."""
        versions = {k: v for k, v in content.items() if k not in (DEVICE, DEVICE_ID)}
        return cls(versions, content.get(DEVICE, ""), content.get(DEVICE_ID, ""))


@dataclass(frozen=True)
class StudyHeader:
    """What a study is: stored when it starts and never changed.

    Attributes:
        id: By which its runs are found in MLflow.
        started: Seconds since the epoch.
        config: The composed configuration, without passwords.
        identity: The part of the configuration that may not change on resume.
        dataset: Its data.
        space: Its candidates.
        objectives: The metric first.
        rungs: Epochs at which candidates compete, the last those of a full training.
        environment: Its software and its device.
        reference: The point that hypervolumes are measured from.
        precision: Numeric precision of its trainings.
        plan: How its trainings are cut to the budget; None in studies that began without a plan.
    """

    id: str
    started: float
    config: dict[str, Any]
    identity: dict[str, Any]
    dataset: DatasetSummary
    space: SpaceFacts
    objectives: tuple[Objective, ...]
    rungs: tuple[int, ...]
    environment: Environment
    reference: Reference
    precision: Precision
    plan: Plan | None = None

    @property
    def trainings(self) -> Plan:
        """Return the plan of its trainings; of one without a plan, what it always was."""
        if self.plan is not None:
            return self.plan
        stored = self.config["task"].get("schedule")
        schedule: Schedule = "cosine" if stored == "cosine" else "one_cycle"
        return Plan(self.rungs, schedule=schedule, is_full_only=True)

    @property
    def task(self) -> str:
        """Return the key of the task."""
        return str(self.config["task"]["name"])

    @property
    def metric(self) -> str:
        """Return the name of the metric that the study maximizes."""
        return str(self.config["task"]["metric"])

    @property
    def seed(self) -> int:
        """Return the seed of the study."""
        return int(self.config["seed"])

    @property
    def data(self) -> str:
        """Return a name of the data for people: its folder, its name, else its format."""
        data = self.config["data"]
        return str(data["root"] or data["name"] or data["reader"])

    @property
    def hardware(self) -> Content:
        """Return the options of the device, the runtime and the limits."""
        return cast(Content, self.config["hardware"])

    @property
    def limits(self) -> dict[str, float | None]:
        """Return the allowed values by name; None for no limit."""
        return cast("dict[str, float | None]", self.hardware["limits"])

    @property
    def weights(self) -> str:
        """Return which first weights the backbones have."""
        return str(self.config["space"]["weights"])

    @property
    def recipe_axes(self) -> list[str]:
        """Return the axes of the recipe on which candidates differ."""
        chosen = self.space.chosen
        grids = self.config["space"]["recipe"]
        return [
            axis
            for axis, values in grids.items()
            if _is_searched(chosen.get(f"{RECIPE}.{axis}", values))
        ]

    @property
    def experiment(self) -> str:
        """Return the MLflow experiment of the study."""
        return str(self.config["tracking"]["experiment"])

    @property
    def mlflow_uri(self) -> str | None:
        """Return MLflow's store, without its password; None for that of the root."""
        return cast("str | None", self.config["tracking"]["mlflow_uri"])

    def as_dict(self) -> Content:
        """Return plain JSON content as it is stored; ``from_dict`` gives the equal header back."""
        content: Content = encode(self)
        content["environment"] = self.environment.as_dict()
        content["reference"] = dict(self.reference.values)
        dataset: Content = content["dataset"]
        for name in ("objects", "warnings", "tiles", *SYMMETRIES):
            if not dataset[name]:
                del dataset[name]
        for skipped in dataset["skipped"].values():
            if not skipped["is_note"]:
                del skipped["is_note"]
        for name in ("chosen", "weights", "notes", "rules"):
            if not content["space"][name]:
                del content["space"][name]
        # Of the fields, ``identity`` alone has another name where it is stored.
        renamed = {("question" if k == "identity" else k): v for k, v in content.items()}
        return {"version": VERSION, **renamed}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> StudyHeader:
        """Return the header whose ``as_dict`` some content is, of this version or an earlier one.

        Raises:
            StudyError: If it is of a later version, or none.
        """
        try:
            content = migrated(stored)
            del content["version"]
            _check_sections(content["config"])
            content["identity"] = content.pop("question")
            content["environment"] = Environment.from_dict(content["environment"])
            content["reference"] = {"values": content["reference"]}
            return decode(cls, content)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StudyError(f"The header of the study cannot be read: {error}.") from error


def _is_searched(values: Any) -> bool:
    """Return whether a grid has more than one value."""
    return isinstance(values, list | tuple) and len(values) > 1


def _check_sections(config: Any) -> None:
    """Raise a TypeError for a configuration whose sections are none."""
    for name in SECTIONS:
        if not isinstance(config[name], dict):
            raise TypeError(f"config.{name} is {config[name]!r}, not a mapping")


def _since_rungs(content: Content) -> Content:
    """Return a header of before there were rungs, and before dense tasks, with what it lacks."""
    dataset = {"counted": "images", **content["dataset"]}
    rungs = content.get("rungs") or [content["config"]["task"]["epochs"]]
    return {**content, "dataset": dataset, "rungs": rungs}


def _since_plan(content: Content) -> Content:
    """Return a header of before there were plans."""
    return {**content, "plan": None}


# The step from each version to the next one; headers were stored without a version at first.
MIGRATIONS: tuple[Callable[[Content], Content], ...] = (_since_rungs, _since_plan)
VERSION = len(MIGRATIONS)


def migrated(stored: Mapping[str, Any]) -> Content:
    """Return a stored header in the form of this version.

    Raises:
        StudyError: If a later version of archfront stored it.
    """
    content = dict(stored)
    version = int(content.pop("version", 0))
    if version > VERSION:
        raise StudyError(
            f"The study was begun by a later archfront: its header has version {version}; "
            f"this one reads up to {VERSION}. Update archfront to read the study."
        )
    for step in MIGRATIONS[version:]:
        content = step(content)
    return {**content, "version": VERSION}
