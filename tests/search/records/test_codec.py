"""Records as JSON content, and back: what is stored is what the dataclasses say."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import pytest

from archfront.search.records.candidate import Candidate
from archfront.search.records.codec import decode, encode
from archfront.search.records.evaluation import (
    Evaluation,
    Failed,
    Measurement,
    Outcome,
    Prediction,
    Rejected,
)
from archfront.search.records.export_records import Export
from archfront.search.records.objectives import Objective, Reference
from archfront.search.records.proposal import Proposal
from archfront.search.records.refit_records import Refit
from archfront.search.records.variant_records import Scored, Setting, Variant
from archfront.trainers.spec import Architecture
from tests.support.recorded_study import OBJECTIVES, REFERENCE, candidate, curve, measurement
from tests.support.recorded_study import trained as trained_evaluation

SCORED = Scored(
    metric=0.9,
    metric_low=0.88,
    metric_high=0.92,
    metrics={"accuracy": 0.9},
    measurement=measurement(1.5),
    parity=1e-6,
    exceeded={"size_mb": (4.5, 4.0)},
    predictions="variants/0.npz",
)
VARIANT = Variant(0, "abc", "def", Setting("onnxruntime", "int8", 32), "1.32.0", SCORED, 2.5)
WITH_CORES = replace(measurement(2.0), latency=replace(measurement(2.0).latency, affinity=(0, 2)))
RECORDS: list[Any] = [
    candidate(),
    replace(candidate(), architecture=Architecture("detection", "resnet18", "yolo", 64, 3, 3)),
    replace(candidate(), recipe=replace(candidate().recipe, loss="balanced_softmax")),
    measurement(1.5),
    WITH_CORES,
    Prediction(1.0, 0.5, 2.0, 0.4),
    Proposal("start", {"latency_ms": 1.5}, are_measured=True),
    OBJECTIVES[0],
    REFERENCE,
    VARIANT,
    replace(VARIANT, outcome=Failed("export", "no such operator")),
    Export(0, "abc", "def", "refit", "onnx", "now", "/tmp", marks=("too slow",)),
    Export(0, "abc", "def", "refit", "onnx", "now", "/tmp", reason="no such operator"),
    Refit(
        trial=0,
        candidate_id="abc",
        seed=1,
        question={"epochs": 2, "teacher": None},
        metrics={"val": {"accuracy": 0.9}},
        intervals={"val": (0.8, 0.95)},
        best_epoch=2,
        curve=curve(0.9),
        seconds=3.0,
        weights="w.safetensors",
        predictions={"val": "val.npz"},
    ),
]
OUTCOMES: list[Outcome] = [
    trained_evaluation(0, 0.9, 1.0).outcome,
    Rejected({"latency_ms": (5.0, 4.0)}, is_predicted=True),
    Failed("crash", "the worker ended", is_remembered=True),
]


@dataclass(frozen=True)
class Pair:
    """A record with what JSON cannot tell apart."""

    ends: tuple[float, float]
    number: int | float


def as_stored(record: Any) -> Any:
    return json.loads(json.dumps(encode(record)))


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_a_record_comes_back_equal_from_json(record: Any) -> None:
    assert decode(type(record), as_stored(record)) == record


@pytest.mark.parametrize("record", RECORDS[3:], ids=lambda record: type(record).__name__)
def test_the_keys_and_their_order_are_those_of_the_fields(record: Any) -> None:
    everything = json.dumps(asdict(record))
    # What came later is not stored where there is none of it.
    assert json.dumps(encode(record)) == everything.replace(', "tiles": null', "")


@pytest.mark.parametrize("one", RECORDS[:3])
def test_a_candidate_is_as_its_encoding(one: Candidate) -> None:
    assert json.dumps(one.as_dict()) == json.dumps(encode(one))
    again = decode(Candidate, as_stored(one))
    assert json.dumps(again.as_dict()) == json.dumps(encode(one))


def test_a_plain_loss_does_not_change_the_ids_of_earlier_candidates() -> None:
    plain, balanced = RECORDS[0], RECORDS[2]
    assert "loss" not in encode(plain)["recipe"]
    assert encode(balanced)["recipe"]["loss"] == "balanced_softmax"
    assert plain.id != balanced.id


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: type(outcome).__name__)
def test_an_evaluation_comes_back_with_its_kind_of_outcome(outcome: Outcome) -> None:
    one = replace(trained_evaluation(3, 0.9, 1.0), outcome=outcome)
    content = json.loads(json.dumps(one.as_dict()))
    assert list(content)[-1] == "kind"
    assert content["kind"] == one.kind
    assert Evaluation.from_dict(content) == one


def test_a_value_that_was_not_measured_stays_none_it_is_not_a_number() -> None:
    imported = replace(measurement(2.0), macs_g=math.nan)
    assert math.isnan(decode(Measurement, as_stored(imported)).macs_g)


def test_whole_numbers_stay_whole_where_both_are_allowed() -> None:
    found = decode(Pair, {"ends": [1, 2.5], "number": 8})
    assert (found.ends, found.number) == ((1.0, 2.5), 8)
    assert isinstance(found.number, int)


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        (Objective, {"nmae": "x"}, "nmae: Unexpected keyword argument"),
        (Objective, {"direction": "up"}, "direction: Input should be 'maximize' or 'minimize'"),
        (Reference, {"values": {"accuracy": "high"}}, "values.accuracy: Input should be a valid"),
        (Candidate, {"recipe": {}}, "recipe.lr: Field required"),
    ],
)
def test_content_that_is_no_record_is_refused_by_its_key(
    kind: type, change: dict[str, Any], message: str
) -> None:
    whole = {Objective: OBJECTIVES[0], Reference: REFERENCE, Candidate: candidate()}[kind]
    with pytest.raises(ValueError, match=message):
        decode(kind, {**as_stored(whole), **change})
