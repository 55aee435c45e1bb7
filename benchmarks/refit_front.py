"""How good the short trainings of a search are at telling which networks are best in full.

A small study is run by the ``archfront`` command, every candidate trained for the study's epochs.
Then its front is trained in full, and with it a sample of the other candidates, drawn by chance:
without them the refit front could only be made of what was on the proxy front, and its share would
say nothing. Told are Kendall's tau between the metric of the short trainings (validation split)
and that of the full ones (test split), and the share of the refit front that was on the proxy
front. ``by_chance`` is that share if the refit front were drawn from what was refitted.

A dataset is about half an hour on one core:

    taskset -c 0 env OMP_NUM_THREADS=1 python benchmarks/refit_front.py \
        --dataset fashion_mnist --data FOLDER
    taskset -c 0 env OMP_NUM_THREADS=1 python benchmarks/refit_front.py --dataset bccd --data BCCD

The same command goes on where it was stopped, with the same ``--folder``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np

from archfront.search.front.members import final_evaluations
from archfront.search.records.paths import StudyPaths
from archfront.search.records.store import reading
from archfront.search.results.refit_results import refits_of
from archfront.search.results.results import Results

STUDY = "refit-front"
RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Question:
    """What is asked on one dataset.

    Attributes:
        words: Of ``archfront run``.
        is_merged: Whether the folder's own splits are put together and made anew, so that there
            is a test split.
        refit_epochs: Of a full training.
        n_sampled: Candidates off the proxy front that are trained in full.
    """

    words: tuple[str, ...]
    is_merged: bool
    refit_epochs: int
    n_sampled: int


COMMON = ("budget.rungs=[]", "budget.minutes=null", "engine.threads=1", "hardware.max_seconds=1")
QUESTIONS = {
    "fashion_mnist": Question(
        (
            "experiment=fashion",
            "data.train=2400",
            "data.val=1000",
            "data.test=2000",
            "task.epochs=4",
            "space.input_sizes=[32,48]",
            "space.backbones=[lcnet_050,lcnet_075,lcnet_100,mobilenetv3_small_050,"
            "mobilenetv3_small_075,mobilenetv3_small_100,resnet10t,resnet14t,regnetx_002]",
            "space.weights=none",
            "space.recipe.lr=[1e-3,3e-3]",
            "space.recipe.weight_decay=[0.01,0.05]",
            "space.recipe.augment=[light,strong]",
            "space.recipe.dropout=[0,0.2]",
            "budget.trials=18",
        ),
        is_merged=True,
        refit_epochs=12,
        n_sampled=7,
    ),
    "bccd": Question(
        (
            "experiment=bccd",
            "task.metric=map50",
            "task.epochs=10",
            "space.heads=[yolo]",
            "space.necks=[pan]",
            "space.widths=[48]",
            "space.depths=[1]",
            "space.input_sizes=[128,160]",
            "space.backbones=[lcnet_050,lcnet_075,lcnet_100,mobilenetv3_small_050,"
            "mobilenetv3_small_075,mobilenetv3_small_100,resnet10t,regnetx_002]",
            "space.weights=none",
            "space.recipe.lr=[1e-3,2e-3]",
            "space.recipe.weight_decay=[0.01,0.05]",
            "space.recipe.augment=[light,strong]",
            "space.recipe.batch_size=[8]",
            "budget.trials=12",
        ),
        is_merged=False,
        refit_epochs=24,
        n_sampled=5,
    ),
}


def merged(data: Path, folder: Path) -> Path:
    """Return a folder of links to the images of every split, by class."""
    target = folder / "merged"
    for image in sorted(data.glob("*/*/*")):
        link = target / image.parent.name / f"{image.parents[1].name}-{image.name}"
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(image.resolve())
    return target


def called(*words: str) -> str:
    """Return what a command of archfront prints; it ends this program where that fails."""
    command = [sys.executable, "-m", "archfront.search.cli", *words]
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if ended.returncode != 0:
        sys.exit(f"archfront {' '.join(words[:2])} ended with {ended.returncode}.")
    return ended.stdout


def read(root: Path) -> Results:
    """Return the records of the study."""
    places = StudyPaths(root, STUDY)
    return Results.read(reading(places, None), places)


def sampled(results: Results, n: int, seed: int) -> tuple[list[int], list[int]]:
    """Return the trials of the front, and some of the others that were trained."""
    front = [member.trial for member in results.front()]
    others = [e.trial for e in final_evaluations(results.evaluations) if e.trial not in front]
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(others)[:n]
    return front, sorted(int(trial) for trial in chosen)


def told(summary: dict[str, Any], front: list[int]) -> dict[str, Any]:
    """Return the figures of a refit."""
    members = summary["members"]
    refit_front = [member["trial"] for member in members if member["is_on_front"]]
    kept = sorted(set(refit_front) & set(front))
    return {
        "metric": summary["metric"],
        "split": summary["split"],
        "n_refitted": len(members),
        "kendall": summary["kendall"],
        "p_value": summary["p_value"],
        "proxy_front": sorted(front),
        "refit_front": sorted(refit_front),
        "share_of_refit_front_on_proxy_front": summary["kept_share"],
        "by_chance": len(front) / len(members),
        "share_of_proxy_front_on_refit_front": len(kept) / len(front),
        "members": members,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", choices=QUESTIONS, required=True)
    parser.add_argument("--data", type=Path, required=True, help="its folder")
    parser.add_argument("--folder", type=Path, help="of the study (default: a new one)")
    parser.add_argument("--seed", type=int, default=0, help="of study and sample")
    parser.add_argument("--seeds", type=int, default=1, help="full trainings of each")
    parser.add_argument("--sample", type=int, help="candidates off the front")
    parser.add_argument("--epochs", type=int, help="of a full training")
    parser.add_argument("--word", action="append", default=[], help="one more for archfront run")
    parser.add_argument("--out", type=Path, help="(default: results/refit_front_DATASET.json)")
    options = parser.parse_args()
    question = QUESTIONS[options.dataset]
    folder = options.folder or Path(mkdtemp(prefix="archfront-refit-front-"))
    root, data = folder / "studies", options.data
    if question.is_merged:
        data = merged(data, folder)
    words = [*COMMON, *question.words, f"seed={options.seed}", *options.word]
    places = [f"data.root={data}", f"tracking.root={root}"]
    places += [f"tracking.device_db={folder / 'latency.db'}", f"study={STUDY}"]
    started = time.perf_counter()
    called("run", "--plain", *words, *places)
    studied = time.perf_counter()
    results = read(root)
    n_sampled = question.n_sampled if options.sample is None else options.sample
    front, others = sampled(results, n_sampled, options.seed)
    epochs = question.refit_epochs if options.epochs is None else options.epochs
    trials = ",".join(map(str, [*front, *others]))
    said = called(
        *("refit", STUDY, "--root", str(root), "--members", trials, "--json"),
        *("--epochs", str(epochs), "--seeds", str(options.seeds)),
    )
    content = {
        "dataset": options.dataset,
        "words": words,
        "n_trained": len(final_evaluations(results.evaluations)),
        "proxy_epochs": results.rungs[-1],
        "refit_epochs": epochs,
        "seeds": options.seeds,
        "study_s": round(studied - started, 1),
        "refit_s": round(time.perf_counter() - studied, 1),
        "refit_training_s": round(sum(one.seconds for one in refits_of(results)), 1),
        **told(json.loads(said), front),
    }
    out = options.out or RESULTS / f"refit_front_{options.dataset}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    print(json.dumps({name: v for name, v in content.items() if name != "members"}, indent=2))
    print(f"written   {out}")


if __name__ == "__main__":
    main()
