"""The plain stack: what one writes in an afternoon with Optuna, Lightning, timm and MLflow.

It shares no line with archfront. Every trial is a full training, its latency the median of 20
eager runs after 3 that warm up, and both are what Optuna sees. Images are decoded and resized
once and stay in memory, augmentation is torchvision's, image by image, as its documentation
shows. ``plain_stack.py`` runs it in a process of its own:

    python benchmarks/plain_loop.py QUESTION.json FOLDER
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import Any

import mlflow
import optuna
import pytorch_lightning as pl
import timm
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, default_collate
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

Choice = dict[str, Any]


@lru_cache(maxsize=8)
def decoded(folder: str, size: int) -> tuple[Tensor, Tensor]:
    """Return all images of a folder, uint8 ``(N, 1, S, S)``, and their labels."""
    transform = v2.Compose([v2.PILToTensor(), v2.Grayscale(), v2.Resize((size, size))])
    images, labels = zip(*ImageFolder(folder, transform), strict=True)
    return torch.stack(images), torch.tensor(labels)


class Images(Dataset[tuple[Tensor, Tensor]]):
    """Decoded images with random changes."""

    def __init__(self, folder: Path, size: int, augment: str) -> None:
        self.images, self.labels = decoded(str(folder), size)
        changes = {
            "none": [],
            "light": [v2.RandomCrop(size, padding=max(1, size // 8))],
            "strong": [
                v2.RandomHorizontalFlip(),
                v2.RandomAffine(10, translate=(1 / 8, 1 / 8), scale=(0.85, 1.15)),
                v2.ColorJitter(contrast=0.2),
            ],
        }[augment]
        scale = [v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5], [0.5])]
        erase = [v2.RandomErasing(p=0.25, scale=(0.02, 0.15))] if augment == "strong" else []
        self.transform = v2.Compose([*changes, *scale, *erase])

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Return a changed image and its label."""
        return self.transform(self.images[index]), self.labels[index]


class Classifier(pl.LightningModule):
    """A timm network with AdamW and the one-cycle schedule."""

    def __init__(self, network: nn.Module, choice: Choice, smoothing: float) -> None:
        super().__init__()
        self.network, self.choice = network, choice
        self.loss = nn.CrossEntropyLoss(label_smoothing=smoothing)
        self.n_right = self.n_seen = 0
        self.accuracies: list[float] = []

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        """Return the loss of a batch."""
        return self.loss(self.network(batch[0]), batch[1])

    def on_validation_epoch_start(self) -> None:
        """Count anew."""
        self.n_right = self.n_seen = 0

    def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        """Count the right answers of a batch."""
        right = self.network(batch[0]).argmax(dim=1) == batch[1]
        self.n_right += int(right.sum())
        self.n_seen += len(right)

    def on_validation_epoch_end(self) -> None:
        """Keep the epoch's accuracy."""
        self.accuracies.append(self.n_right / self.n_seen)

    def configure_optimizers(self) -> dict[str, Any]:
        """Return the optimizer with its schedule."""
        optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=self.choice["lr"],
            weight_decay=self.choice["weight_decay"],
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, self.choice["lr"], total_steps=int(self.trainer.estimated_stepping_batches)
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }


@dataclass
class Loop:
    """The objective that Optuna calls."""

    question: dict[str, Any]
    folder: Path

    def __call__(self, trial: optuna.Trial) -> tuple[float, float]:
        """Train what a trial chose and return its accuracy and its latency."""
        choice = {
            name: trial.suggest_categorical(name, values)
            for name, values in self.question["axes"].items()
        }
        torch.manual_seed(self.question["seed"] * 1000 + trial.number)
        network = timm.create_model(
            choice["backbone"],
            in_chans=1,
            num_classes=self.question["classes"],
            global_pool=choice["head"],
            **({"drop_rate": choice["dropout"]} if choice["dropout"] else {}),
        )
        with mlflow.start_run(run_name=f"trial {trial.number}"):
            mlflow.log_params(choice)
            latency_ms = eager_latency_ms(network, choice["input_size"])
            accuracies = self.train(network, choice)
            for epoch, accuracy in enumerate(accuracies):
                mlflow.log_metric("accuracy", accuracy, step=epoch)
            mlflow.log_metric("latency_ms", latency_ms)
        self.write({"choice": choice, "accuracy": accuracies[-1], "latency_ms": latency_ms})
        return accuracies[-1], latency_ms

    def train(self, network: nn.Module, choice: Choice) -> list[float]:
        """Return the validation accuracy after each epoch."""
        data, size = Path(self.question["data"]), choice["input_size"]
        mix = v2.MixUp(alpha=0.2, num_classes=self.question["classes"])
        is_mixed = choice["augment"] == "strong"
        batches = DataLoader(
            Images(data / "train", size, choice["augment"]),
            batch_size=choice["batch_size"],
            shuffle=True,
            drop_last=True,
            collate_fn=(lambda rows: mix(*default_collate(rows))) if is_mixed else None,
        )
        val = DataLoader(Images(data / "val", size, "none"), batch_size=64)
        module = Classifier(network, choice, self.question["label_smoothing"])
        trainer = pl.Trainer(
            max_epochs=self.question["epochs"],
            accelerator="cpu",
            gradient_clip_val=1.0,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        trainer.fit(module, batches, val)
        return module.accuracies

    def write(self, row: dict[str, Any]) -> None:
        """Append a trial with its moment, counted from the start of the process."""
        with (self.folder / "trials.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({**row, "s": time.time() - self.question["started"]}) + "\n")


def eager_latency_ms(network: nn.Module, size: int) -> float:
    """Return the median of 20 runs of one image on one thread, after 3 runs."""
    image, times = torch.randn(1, 1, size, size), []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    network.eval()
    with torch.inference_mode():
        for _ in range(23):
            start = time.perf_counter()
            network(image)
            times.append(1000 * (time.perf_counter() - start))
    network.train()
    torch.set_num_threads(threads)
    return median(times[3:])


def sampler_of(name: str, seed: int) -> optuna.samplers.BaseSampler:
    if name == "tpe":
        return optuna.samplers.TPESampler(seed=seed, multivariate=True)
    # Optuna's default of 50 would be all that these seconds hold.
    return optuna.samplers.NSGAIISampler(population_size=10, seed=seed)


def main() -> None:
    question, folder = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    for noisy in ("optuna", "pytorch_lightning", "alembic", "mlflow"):
        warnings.filterwarnings("ignore", module=noisy)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    mlflow.set_experiment("plain")
    study = optuna.create_study(
        study_name="plain",
        storage=f"sqlite:///{folder / 'optuna.db'}",
        sampler=sampler_of(question["sampler"], question["seed"]),
        directions=["maximize", "minimize"],
    )
    left = question["seconds"] - (time.time() - question["started"])
    study.optimize(Loop(question, folder), timeout=left, catch=(RuntimeError, ValueError))


if __name__ == "__main__":
    main()
