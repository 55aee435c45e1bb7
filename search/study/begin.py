"""The begin of a run: the study's header, its costs so far and its sampler."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict

import yaml

from archfront.search.engine.jobs import Engine
from archfront.search.latency.lookup import CostLookup
from archfront.search.prepare.prepare import Prepared
from archfront.search.records.evaluation import Evaluation
from archfront.search.records.header import StudyHeader
from archfront.search.records.objectives import Reference
from archfront.search.records.paths import StudyPaths
from archfront.search.records.seconds import rung_costs
from archfront.search.records.store import StudyStore
from archfront.search.samplers import SAMPLERS
from archfront.search.samplers.base import OpenCandidates, ProposalSampler
from archfront.search.samplers.request import Request
from archfront.search.space.cost_model import CostModel
from archfront.search.study.job_factory import JobFactory
from archfront.search.study.planning import n_startup
from archfront.search.study.reference import find_reference
from archfront.trainers.files import write_whole

# That of libyaml, where pyyaml has it, writes what is read the same in a tenth of the time.
DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def begin(
    prepared: Prepared,
    store: StudyStore,
    paths: StudyPaths,
    *,
    jobs: JobFactory,
    engine: Engine,
    lookup: CostLookup,
) -> StudyHeader:
    """Return the header of a study, written first if this is its first run.

    The first run finds the reference point, for which it measures. The configuration beside the
    records is written with the budget of this run.

    Args:
        prepared: The study.
        store: Its records.
        paths: Its files.
        jobs: Makes the jobs of measuring.
        engine: Runs these jobs.
        lookup: Costs that are known.

    Raises:
        StudyError: If the study can have no reference point.
    """
    header, started = store.header, time.time()
    stored = prepared.stored_config() if header is None else header.config
    config = {**stored, "budget": asdict(prepared.config.budget)}
    write_whole(paths.config, yaml.dump(config, Dumper=DUMPER, sort_keys=False))
    if header is None:
        reference = find_reference(prepared, lambda a: jobs.measure_now(a, lookup, engine))
        header = prepared.header(started=started, reference=reference, precision=jobs.precision)
        store.write_header(header)
    return header


def cost_model_of(
    prepared: Prepared,
    lookup: CostLookup,
    reference: Reference,
    evaluations: Sequence[Evaluation],
) -> CostModel:
    """Return the costs of all architectures of a study, by all that was measured so far."""
    costs = CostModel(
        prepared.space,
        lookup,
        prepared.objectives,
        asdict(prepared.settings.limits),
        reference,
    )
    for evaluation in evaluations:
        if evaluation.measurement is not None:
            costs.learn(evaluation.candidate.architecture, evaluation.measurement)
    return costs


def sampler_of(
    prepared: Prepared, candidates: OpenCandidates, costs: CostModel, reference: Reference
) -> ProposalSampler:
    """Return the sampler of a study's configuration."""
    config, ends = prepared.config, rung_costs(prepared.settings.rungs)
    request = Request(
        candidates=candidates,
        seed=config.seed,
        startup=n_startup(config.sampler.startup, prepared),
        costs=costs,
        reference=reference,
        is_timed=config.budget.trials is None,
        rung_costs=tuple(end / ends[-1] for end in ends),
    )
    return SAMPLERS[config.sampler.name](request)
