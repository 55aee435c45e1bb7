from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from archfront.search.errors import ConfigError
from archfront.search.front.members import (
    build_front,
    final_evaluations,
    front_hypervolume,
    losses_of,
    pairwise,
)
from archfront.search.front.pareto import FEW, front_mask, hypervolume, knee
from archfront.search.records.codec import decode, encode
from archfront.search.records.evaluation import Evaluation, Trained
from archfront.search.records.objectives import Objective, Reference, objectives_for
from tests.support.programs import LIGHT, Programs
from tests.support.recorded_study import (
    GOLDEN,
    OBJECTIVES,
    REFERENCE,
    candidate,
    failed,
    golden,
    measurement,
    rejected,
    trained,
)


def front_by_definition(losses: np.ndarray) -> list[bool]:
    return [
        not any((other <= row).all() and (other < row).any() for other in losses) for row in losses
    ]


@pytest.mark.parametrize("seed", range(20))
def test_the_front_is_what_domination_by_definition_leaves(seed: int) -> None:
    rng = np.random.default_rng(seed)
    # Few distinct values, so that ties in single objectives and equal rows occur.
    losses = rng.integers(0, 6, size=(40, int(rng.integers(1, 5)))).astype(float)
    assert front_mask(losses).tolist() == front_by_definition(losses)


@pytest.mark.parametrize("n_rows", [FEW - 1, FEW + 1, 3 * FEW])
def test_a_front_of_many_rows_is_that_of_few(n_rows: int) -> None:
    losses = np.random.default_rng(n_rows).integers(0, 6, (n_rows, 3)).astype(float)
    assert front_mask(losses).tolist() == front_by_definition(losses)
    losses = np.random.default_rng(n_rows).uniform(size=(n_rows, 3))
    assert front_mask(losses).tolist() == front_by_definition(losses)


def test_equal_trials_are_both_kept() -> None:
    assert front_mask([[1, 2], [1, 2], [2, 2]]).tolist() == [True, True, False]


def test_a_front_of_no_trials_is_empty() -> None:
    assert front_mask(np.empty((0, 2))).shape == (0,)
    assert build_front([], OBJECTIVES) == []


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("function", [front_mask, knee, lambda x: hypervolume(x, [2, 2])])
def test_a_value_that_is_not_finite_has_no_place_on_a_front(function, value: float) -> None:
    with pytest.raises(ValueError, match=r"rows \[1\] are not.* no place on a front"):
        function([[0.0, 1.0], [value, 0.0]])


def test_losses_that_are_no_table_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(n_trials, n_objectives\); got shape \(2,\)"):
        front_mask([1.0, 2.0])


@pytest.mark.parametrize("n", range(1, 12))
def test_hypervolume_of_a_staircase_is_its_closed_form(n: int) -> None:
    steps = np.stack([np.arange(n), np.arange(n)[::-1]], axis=1).astype(float)
    assert hypervolume(steps, np.array([n, n])) == n * (n + 1) / 2


def test_hypervolume_of_one_objective_is_the_gap_to_the_best() -> None:
    assert hypervolume([[3.0], [1.0], [2.0]], [5.0]) == 4.0


@pytest.mark.parametrize("seed", range(10))
def test_hypervolume_of_integer_points_counts_unit_cubes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    side, k = 5, int(rng.integers(1, 5))
    losses = rng.integers(0, side + 1, size=(8, k))
    corners = np.stack(np.meshgrid(*[np.arange(side)] * k), axis=-1).reshape(-1, k)
    covered = (losses[:, None] <= corners[None]).all(axis=2).any(axis=0)
    assert hypervolume(losses, [side] * k) == covered.sum()


def test_hypervolume_in_three_objectives_agrees_with_random_points() -> None:
    rng = np.random.default_rng(3)
    losses, points = rng.random((30, 3)), rng.random((200_000, 3))
    share = (losses[None] <= points[:, None]).all(axis=2).any(axis=1).mean()
    error = math.sqrt(share * (1 - share) / len(points))
    assert hypervolume(losses, [1, 1, 1]) == pytest.approx(share, abs=4 * error)


def test_points_worse_than_the_reference_add_nothing() -> None:
    inside = [[0.5, 0.5]]
    outside = [[-9.0, 1.5], [1.0, -9.0], [2.0, 2.0]]
    assert hypervolume(inside + outside, [1, 1]) == hypervolume(inside, [1, 1]) == 0.25
    assert hypervolume(outside, [1, 1]) == 0.0


def test_a_reference_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match=r"must be 2 finite numbers, one per objective; got \[1"):
        hypervolume([[0.0, 0.0]], [1.0])


def test_the_knee_is_farthest_from_the_line_between_the_ends() -> None:
    losses = np.array([[0.0, 10.0], [1.0, 3.0], [2.0, 2.5], [10.0, 0.0]])
    start, end = losses[0] / 10, losses[-1] / 10
    along = (end - start) / np.linalg.norm(end - start)
    offsets = losses / 10 - start
    distances = np.abs(offsets[:, 0] * along[1] - offsets[:, 1] * along[0])
    assert knee(losses) == distances.argmax() == 1


def test_the_knee_does_not_change_with_the_scale_of_an_objective() -> None:
    losses = np.array([[0.0, 10.0], [1.0, 3.0], [2.0, 2.5], [10.0, 0.0]])
    assert knee(losses * [1000, 0.001] + [7, -7]) == knee(losses)


def test_without_a_knee_the_best_in_the_first_objective_is_given() -> None:
    assert knee([[5.0, 5.0]]) == 0
    assert knee([[2.0, 1.0], [1.0, 2.0]]) == 1
    assert knee([[4.0, 0.0], [3.0, 3.0], [0.0, 4.0]]) == 2  # bends the other way
    assert knee([[2.0, 0.0], [1.0, 1.0], [0.0, 2.0]]) == 2  # a straight line
    assert knee([[1.0, 3.0], [1.0, 3.0]]) == 0


def test_no_points_have_no_knee() -> None:
    with pytest.raises(ValueError, match="A front without points has no knee"):
        knee(np.empty((0, 2)))


def test_losses_turn_objectives_so_that_lower_is_better() -> None:
    assert OBJECTIVES[0].losses([0.9, 0.5]).tolist() == [-0.9, -0.5]
    assert OBJECTIVES[1].losses([1.0, 8.0]).tolist() == [0.0, 3.0]
    table = losses_of(
        [trained(0, 0.9, 8.0)], objectives_for("accuracy", ("latency_ms", "size_mb"))
    )
    assert table.tolist() == [[-0.9, 3.0, 2.0]]


def test_a_latency_of_zero_has_no_logarithm() -> None:
    with pytest.raises(ValueError, match="latency_ms must be above 0; got 0"):
        OBJECTIVES[1].losses([1.0, 0.0])


def test_an_unknown_objective_is_named_with_the_nearest() -> None:
    with pytest.raises(
        ConfigError, match=r"Unknown objective 'param_m'\. Did you mean 'params_m'"
    ):
        objectives_for("accuracy", ("param_m",))


def test_an_objective_and_a_reference_come_back_from_json() -> None:
    content = json.loads(json.dumps(encode(OBJECTIVES[1])))
    assert decode(Objective, content) == OBJECTIVES[1]
    assert decode(Reference, json.loads(json.dumps(encode(REFERENCE)))) == REFERENCE


def test_the_reference_is_chance_and_the_limit_or_the_slowest() -> None:
    objectives = objectives_for("accuracy", ("latency_ms", "size_mb"))
    reference = Reference.at_start(
        objectives,
        chance=0.1,
        limits={"latency_ms": 4.0, "size_mb": None},
        slowest={"latency_ms": 9.0, "size_mb": 50.0},
    )
    assert reference.values == {"accuracy": 0.1, "latency_ms": 4.0, "size_mb": 50.0}


def test_a_reference_without_limit_or_slowest_is_refused() -> None:
    with pytest.raises(ValueError, match="reference of latency_ms must be a finite number"):
        Reference.at_start(OBJECTIVES, chance=0.1, limits={}, slowest={})


def test_hypervolume_is_metric_above_chance_times_halvings_of_latency() -> None:
    # 0.9 - 0.1 above chance, and 1 ms is two halvings below 4 ms.
    volume = front_hypervolume([trained(0, 0.9, 1.0)], OBJECTIVES, REFERENCE)
    assert volume == pytest.approx(0.8 * 2)
    assert front_hypervolume([trained(0, 0.9, 5.0)], OBJECTIVES, REFERENCE) == 0.0
    assert front_hypervolume([], OBJECTIVES, REFERENCE) == 0.0


def test_hypervolume_does_not_depend_on_the_unit_of_latency() -> None:
    evaluations = [trained(0, 0.9, 1.0), trained(1, 0.95, 2.5)]
    seconds = [
        replace(e, measurement=measurement(e.measurement.latency.p50_ms / 1000))
        for e in evaluations
    ]
    in_seconds = Reference({"accuracy": 0.1, "latency_ms": 0.004})
    assert front_hypervolume(seconds, OBJECTIVES, in_seconds) == pytest.approx(
        front_hypervolume(evaluations, OBJECTIVES, REFERENCE)
    )


def test_only_trained_evaluations_join_the_front_fastest_first() -> None:
    members = build_front(
        [
            trained(0, 0.9, 2.0),
            trained(1, 0.8, 1.0),
            trained(2, 0.7, 1.5),
            rejected(3, 9),
            failed(4),
        ],
        OBJECTIVES,
    )
    assert [member.trial for member in members] == [1, 0]
    assert sum(member.is_knee for member in members) == 1


def test_of_a_trial_the_latest_attempt_at_the_top_rung_counts() -> None:
    def at(rung: int, attempt: int, metric: float) -> Evaluation:
        return replace(trained(0, metric, 1.0), rung=rung, attempt=attempt, n_rungs=2)

    evaluations = [at(1, 0, 0.7), at(1, 1, 0.6), at(0, 3, 0.9), replace(failed(0), rung=1)]
    assert final_evaluations(evaluations) == [evaluations[1]]
    assert final_evaluations(evaluations[2:]) == []
    assert build_front(evaluations[2:], OBJECTIVES) == []
    assert build_front(evaluations, OBJECTIVES)[0].metric == 0.6


def test_a_metric_that_is_not_finite_never_enters_a_front() -> None:
    with pytest.raises(ValueError, match="Losses must be finite"):
        build_front([trained(0, math.nan, 1.0)], OBJECTIVES)


def test_ties_are_told_to_both_members() -> None:
    evaluations = [trained(0, 0.9, 2.0), trained(1, 0.8, 1.0), trained(2, 0.89, 1.5)]
    members = build_front(
        evaluations, OBJECTIVES, ties=pairwise(lambda a, b: {a.trial, b.trial} == {0, 2})
    )
    assert {m.trial: m.ties for m in members} == {0: (2,), 1: (), 2: (0,)}


def test_a_row_begins_with_the_promised_keys_and_is_plain_json() -> None:
    row = build_front([trained(5, 0.9, 2.0)], OBJECTIVES)[0].as_row()
    assert list(row)[:5] == ["trial", "candidate_id", "backbone", "head", "input_size"]
    assert row["candidate_id"] == candidate().id
    assert (row["metric"], row["metric_low"], row["metric_high"]) == (0.9, 0.89, 0.908)
    assert (row["latency_ms"], row["lr"], row["weights"], row["ties"]) == (2.0, 0.003, "none", [])
    assert json.loads(json.dumps(row)) == row


def test_a_member_has_the_score_of_its_probe_wherever_it_was_trained_since() -> None:
    probe, full, other = trained(5, 0.6, 2.0), trained(5, 0.9, 2.0), trained(6, 0.95, 3.0)
    assert isinstance(probe.outcome, Trained)
    probe = replace(probe, outcome=replace(probe.outcome, knn=0.75))
    content = json.loads(json.dumps(probe.as_dict()))
    assert Evaluation.from_dict(content) == probe
    assert "knn" not in full.as_dict()["outcome"]
    members = build_front(
        [replace(probe, n_rungs=2), replace(full, rung=1, n_rungs=2), other], OBJECTIVES
    )
    assert [(m.trial, m.metric, m.as_row()["knn"]) for m in members] == [
        (5, 0.9, 0.75),
        (6, 0.95, None),
    ]


def test_a_recorded_study_gives_the_front_that_was_reviewed() -> None:
    """Golden: only ``python -m tests.support.recorded_study`` writes it, reviewed as a diff."""
    kept = json.loads(GOLDEN.read_text(encoding="utf-8"))
    evaluations = [Evaluation.from_dict(content) for content in kept["evaluations"]]
    objectives = [decode(Objective, content) for content in kept["objectives"]]
    members = build_front(evaluations, objectives)
    assert [m.candidate.id for m in members] == kept["front"]
    assert [m.candidate.id for m in members if m.is_knee] == [kept["knee"]]
    volume = front_hypervolume(evaluations, objectives, Reference(kept["reference"]))
    assert volume == pytest.approx(kept["hypervolume"], rel=1e-8)


def test_the_recorded_study_is_what_its_command_writes() -> None:
    assert json.loads(GOLDEN.read_text(encoding="utf-8")) == json.loads(json.dumps(golden()))


def test_front_figure_and_report_need_no_torch(programs: Programs) -> None:
    code = (
        "import sys; import archfront.search.front.members;"
        "heavy = {'torch', 'plotly', 'matplotlib', 'jinja2'};"
        "print(sorted(heavy & set(sys.modules)));"
        "import archfront.search.report.figures, archfront.search.report.front_png;"
        "import archfront.search.report.document, archfront.search.front.intervals;"
        "print('torch' in sys.modules, 'plotly' in sys.modules)"
    )
    out = programs.run(code, imports=LIGHT, sees_repository=True)
    assert out.split("\n")[:2] == ["[]", "False False"]
