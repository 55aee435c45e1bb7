from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import sklearn.metrics
import torch

from archfront.search.front.intervals import score
from archfront.trainers.errors import BuildError, ConfigError
from archfront.trainers.networks.backbone import Pyramid, preprocess_for
from archfront.trainers.spec import (
    PLAIN_LOSS,
    Architecture,
    Recipe,
    TrainSettings,
    Weights,
)
from archfront.trainers.tasks import TASKS, Grid, task_named
from archfront.trainers.tasks.judges.labels import LabelEvaluator
from archfront.trainers.tasks.protocol import Task
from archfront.trainers.training.class_balance import with_loss
from tests.support.minimal_task import Odd
from tests.support.programs import LIGHT, Programs
from tests.support.small_truth import samples_of

N_IMAGES = 8

SETTINGS = TrainSettings("accuracy", 1, 1, 0, 0.1, "one_cycle", "fp32", 1)


def architecture(task: str, **changes: object) -> Architecture:
    head = str(changes.get("head", TASKS[task].heads[0]))
    grid = TASKS[task].grid(head) if head in TASKS[task].heads else Grid()
    plain = {
        "task": task,
        "backbone": "test_resnet",
        "head": head,
        "input_size": max(32, grid.size_min),
        "classes": 4,
        "channels": 3,
        "width": 32 if grid.width else 0,
        "depth": max(2, grid.depths[0]) if grid.depth else 0,
        "neck": grid.neck[0],
        "finest": grid.finest[0] if grid.finest else 0,
    }
    return Architecture(**{**plain, **changes})


def evaluated(name: str) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Return what an evaluator says of an untrained network, and what it keeps."""
    task, a = TASKS[name], architecture(name)
    samples = samples_of(task.target, N_IMAGES, classes=4, side=32)
    evaluator = task.evaluator(samples, "abcd", preprocess_for(a, Weights(), task.resize))
    model = task.build(a, Weights()).eval()
    with torch.no_grad():
        for seed in range(2):
            evaluator.update(task.predict(model, task.example(a, N_IMAGES // 2, seed)))
    return evaluator.metrics(), evaluator.saved_predictions()


@pytest.mark.parametrize("name", [*TASKS, "odd"])
class TestTaskContract:
    @pytest.fixture(autouse=True)
    def _with_a_minimal_task(self, monkeypatch: pytest.MonkeyPatch) -> None:
        odd: Task = Odd()
        monkeypatch.setitem(TASKS, "odd", odd)

    def test_the_example_fits_the_deployed_network(self, name: str) -> None:
        task, a = TASKS[name], architecture(name)
        outputs = task.deploy_module(task.build(a, Weights()))(task.example(a, 2, 0))
        assert len(outputs) == len(task.output_names)
        assert all(len(output) == 2 for output in outputs)

    def test_the_example_is_that_of_its_seed(self, name: str) -> None:
        task, a = TASKS[name], architecture(name, channels=1)
        assert torch.equal(task.example(a, 3, 5), task.example(a, 3, 5))
        assert not torch.equal(task.example(a, 3, 5), task.example(a, 3, 6))
        assert task.example(a, 3, 5).shape == (3, 1, 32, 32)

    def test_every_balance_gives_another_finite_loss(self, name: str) -> None:
        task, a = TASKS[name], architecture(name)
        settings = replace(SETTINGS, class_sizes=(8.0, 4.0, 2.0, 1.0), label_smoothing=0.0)
        model, losses = task.build(a, Weights()).train(), []
        batch = task.example(a, 4, 0), task.example_targets(a, 4, 0)
        assert task.balances[0] == PLAIN_LOSS
        for loss in task.balances:
            recipe = Recipe(1e-3, 0.05, 4, "none", 0.0, loss=loss)
            found = task.training_step(model, batch, with_loss(settings, recipe))
            losses.append(float(sum(value.detach() for value in found.values())))
        assert np.isfinite(losses).all()
        assert len(set(losses)) == len(task.balances)

    @pytest.mark.slow
    @pytest.mark.parametrize("backbone", ["test_resnet", "test_vit", "test_efficientnet"])
    def test_every_head_of_a_backbone_learns(self, name: str, backbone: str) -> None:
        task = TASKS[name]
        for head in task.heads_for(backbone):
            a = architecture(name, backbone=backbone, head=head)
            model = task.build(a, Weights(), 0.1)
            batch = (task.example(a, 4, 0), task.example_targets(a, 4, 0))
            losses = task.training_step(model, batch, SETTINGS)
            torch.stack(tuple(losses.values())).sum().backward()
            assert all(p.grad is not None for p in model.parameters()), head

    @pytest.mark.slow
    def test_a_frozen_network_trains_its_head_only(self, name: str) -> None:
        task = TASKS[name]
        for head in task.heads_for("test_resnet"):
            a = architecture(name, head=head)
            model = task.build(a, Weights())
            task.freeze(model)
            before = {key: value.clone() for key, value in model.state_dict().items()}
            trained = [p for p in model.parameters() if p.requires_grad]
            optimizer = torch.optim.SGD(trained, lr=0.1)
            batch = (task.example(a, 4, 0), task.example_targets(a, 4, 0))
            sum(task.training_step(model.train(), batch, SETTINGS).values()).backward()
            optimizer.step()
            after = model.state_dict()
            changed = {key for key in after if not torch.equal(before[key], after[key])}
            pyramids = [path for path, m in model.named_modules() if isinstance(m, Pyramid)]
            if pyramids:  # then all but it is the head
                assert len(changed) >= 2
                assert not {key for key in changed if key.startswith(pyramids[0])}
                continue
            assert 2 <= len(changed) <= 5, changed
            assert sum(p.numel() for p in trained) < 0.2 * sum(
                p.numel() for p in model.parameters()
            )

    def test_prediction_is_what_the_deployed_network_gives(self, name: str) -> None:
        task, a = TASKS[name], architecture(name)
        model = task.build(a, Weights()).eval()
        images = task.example(a, 3, 1)
        with torch.no_grad():
            outputs = task.predict(model, images)
            deployed = task.deploy_module(model)(images)
        for output_name, output in zip(task.output_names, deployed, strict=True):
            assert torch.equal(outputs[output_name], output)

    @pytest.mark.slow
    def test_dropout_changes_no_name_of_the_state(self, name: str) -> None:
        task = TASKS[name]
        for head in task.heads_for("test_resnet"):
            a = architecture(name, head=head)
            plain, dropping = (task.build(a, Weights(), share).state_dict() for share in (0, 0.5))
            assert plain.keys() == dropping.keys()

    def test_an_evaluator_gives_the_metrics_of_the_task(self, name: str) -> None:
        metrics, kept = evaluated(name)
        assert set(TASKS[name].metrics) <= set(metrics)
        assert all(0 <= value <= 1 for value in metrics.values())
        assert kept

    def test_what_an_evaluator_saves_gives_its_metrics_again(self, name: str) -> None:
        metrics, kept = evaluated(name)
        for metric in TASKS[name].metrics:
            value_of = TASKS[name].resampled(metric, kept)
            [again] = value_of(np.ones((1, N_IMAGES), np.int64))
            assert again == pytest.approx(metrics[metric], abs=1e-6)

    def test_an_evaluator_refuses_to_evaluate_a_part(self, name: str) -> None:
        task, a = TASKS[name], architecture(name)
        samples = samples_of(task.target, 3, classes=4, side=32)
        evaluator = task.evaluator(samples, "abcd", preprocess_for(a, Weights(), task.resize))
        with torch.no_grad():
            evaluator.update(task.predict(task.build(a, Weights()).eval(), task.example(a, 2, 0)))
        with pytest.raises(ValueError, match="2 of 3 images were evaluated"):
            evaluator.metrics()

    def test_chance_is_between_nothing_and_all(self, name: str) -> None:
        task = TASKS[name]
        assert all(0 <= task.chance(metric, [5, 3, 2]) < 1 for metric in task.metrics)

    def test_an_unknown_head_is_named(self, name: str) -> None:
        known = TASKS[name].heads[0]
        with pytest.raises(BuildError, match=rf"Unknown head '{known}x'\. Did you mean '{known}'"):
            TASKS[name].build(architecture(name, head=f"{known}x"), Weights())


SCORES: dict[str, Callable[..., float]] = {
    "accuracy": sklearn.metrics.accuracy_score,
    "balanced_accuracy": sklearn.metrics.balanced_accuracy_score,
    "macro_f1": lambda *args: sklearn.metrics.f1_score(*args, average="macro"),
}


def probabilities_and_labels() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.choice(5, 200, p=[0.5, 0.2, 0.15, 0.1, 0.05])
    scores = rng.random((200, 5)) + 0.5 * np.eye(5)[labels]
    return (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32), labels


@pytest.mark.parametrize("metric", SCORES)
def test_classification_metrics_are_those_of_sklearn(metric: str) -> None:
    task = TASKS["classification"]
    probabilities, labels = probabilities_and_labels()
    evaluator = LabelEvaluator(labels.tolist(), 5)
    for part in np.array_split(np.arange(200), 3):
        evaluator.update({"probabilities": torch.from_numpy(probabilities[part])})
    expected = SCORES[metric](labels, task.decode({"probabilities": probabilities}))
    assert evaluator.metrics()[metric] == pytest.approx(expected, abs=1e-6)
    saved = evaluator.saved_predictions()
    again = score(metric, saved["labels"], saved["probabilities"].argmax(axis=1))
    assert again == pytest.approx(expected)


@pytest.mark.parametrize("metric", SCORES)
@pytest.mark.filterwarnings("ignore::UserWarning")  # sklearn, about classes that a draw lacks
def test_resampled_classification_metrics_are_those_of_repeated_images(metric: str) -> None:
    task = TASKS["classification"]
    probabilities, labels = probabilities_and_labels()
    weights = np.random.default_rng(1).integers(0, 3, (4, len(labels)))
    weights[0, labels == 4] = 0
    found = task.resampled(metric, {"probabilities": probabilities, "labels": labels})(weights)
    predicted = probabilities.argmax(axis=1)
    for value, counts in zip(found, weights, strict=True):
        taken = np.repeat(np.arange(len(labels)), counts)
        assert value == pytest.approx(SCORES[metric](labels[taken], predicted[taken]))


@pytest.mark.parametrize("metric", SCORES)
@pytest.mark.filterwarnings("ignore::UserWarning")  # sklearn, about classes never predicted
def test_chance_is_the_score_of_the_commonest_class(metric: str) -> None:
    counts = [60, 25, 15]
    labels = np.repeat(np.arange(3), counts)
    expected = SCORES[metric](labels, np.zeros_like(labels))
    assert TASKS["classification"].chance(metric, counts) == pytest.approx(expected)


def test_heads_that_make_the_same_network_are_named_once() -> None:
    task = TASKS["classification"]
    different = ("timm", "max", "avgmax", "gem", "mlp", "levels", "truncated")
    assert task.heads_for("test_resnet") == different
    assert task.heads_for("test_resnet", ["avg", "timm"]) == ("avg",)


def test_a_network_without_a_map_carries_no_gem() -> None:
    task = TASKS["classification"]
    assert "gem" not in task.heads_for("test_vit")
    a = architecture("classification", backbone="test_vit", head="gem")
    with pytest.raises(BuildError, match=r"test_vit with head 'gem' at 32 px: gem pools a map"):
        task.build(a, Weights())


def test_gem_with_power_one_is_the_mean() -> None:
    from archfront.trainers.networks.classifiers import GeMPool

    features = torch.rand(2, 3, 4, 4) + 0.1
    assert torch.allclose(GeMPool(power=1.0)(features), features.mean(dim=(2, 3)))
    assert torch.allclose(GeMPool(power=200.0)(features), features.amax(dim=(2, 3)), rtol=0.02)


def test_a_fused_network_computes_the_same_with_fewer_parameters() -> None:
    task = TASKS["classification"]
    a = architecture("classification", backbone="repghostnet_050", fused=True)
    model = task.build(a, Weights()).eval()
    deployed = task.deploy_module(model)
    images = task.example(a, 2, 0)
    with torch.no_grad():
        assert torch.allclose(task.predict(model, images)["probabilities"], deployed(images)[0])
    counts = [sum(p.numel() for p in network.parameters()) for network in (model, deployed)]
    assert counts[1] < counts[0]


def test_mixed_targets_of_one_label_have_the_loss_of_the_label() -> None:
    task: Task = TASKS["classification"]
    a = architecture("classification")
    model = task.build(a, Weights()).eval()
    images, labels = task.example(a, 4, 0), torch.tensor([0, 1, 2, 3])
    hard = task.training_step(model, (images, labels), SETTINGS)
    soft = task.training_step(model, (images, torch.eye(4)), SETTINGS)
    assert torch.allclose(hard["cross_entropy"], soft["cross_entropy"])


def test_an_unknown_task_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match=r"Unknown task 'clasification'\. Did you mean"):
        task_named("clasification")


def test_names_of_tasks_cost_no_torch(programs: Programs) -> None:
    code = (
        "import sys; from archfront.trainers.tasks import TASKS; "
        "assert all(t.heads and t.metrics and t.chance(t.metrics[0], [1, 2]) < 1 "
        "for t in TASKS.values()); "
        "sys.exit('torch' in sys.modules or 'timm' in sys.modules)"
    )
    programs.run(code, imports=LIGHT, sees_repository=True)
