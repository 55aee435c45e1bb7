"""Headers of studies that were not run: the recorded study's, of a configuration of one's own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from archfront.search.records.header import SpaceFacts, StudyHeader
from tests.support import recorded_study


def study_header(config: dict[str, Any], **changes: Any) -> StudyHeader:
    """Return what a driver stores when a study starts, with some of it changed."""
    record = recorded_study.record()
    whole = StudyHeader(
        id="id-of-a-study",
        started=record.started,
        config=config,
        identity={k: v for k, v in config.items() if k not in ("budget", "engine", "tracking")},
        dataset=record.dataset,
        space=SpaceFacts(record.space_size, 617, 2, "abc", ()),
        objectives=recorded_study.OBJECTIVES,
        rungs=(3,),  # the epochs of the recorded curves
        environment=record.environment,
        reference=recorded_study.REFERENCE,
        precision="fp32",
    )
    return replace(whole, **changes)


def with_other_data(header: StudyHeader) -> StudyHeader:
    """Return a header as if the study had begun with other data."""
    return replace(header, dataset=replace(header.dataset, fingerprint="other"))
