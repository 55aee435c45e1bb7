"""archfront against the loop that one writes in an afternoon with the same packages.

Both get the same space, images, cores and wall seconds, counted from the start of their processes
with all imports. The plain stack is ``plain_loop.py``: Optuna, full-length trainings with
Lightning, MLflow, latency by 20 eager runs. archfront is its own command, with a latency memory
of its own that is empty at the start, for each seed.

Then whatever was at any time on either front (as its own stack knew it then) is trained again by
one trainer, ``plain_judge.py``: the same recipe, full length, another seed, scored on test images
that neither saw; and its latency is measured once, on ONNX Runtime. What a stack reports itself
counts nowhere.
The hypervolume of a moment is that of the judged points of its front then, above chance and below
a latency a tenth above the slowest judged: accuracy times halvings of latency.

``time_ratio`` is the seconds after which archfront's front is as good as the plain stack's last
one, for the first time, over the seconds that both had; null where it never is. The plain stack
takes latencies of eager runs, so a later front of its can be worse than an earlier one:
``time_ratio_best`` is to the best that it ever had. Which sampler
suits the plain stack better is told by ``--only plain``, which judges it alone.

On a quiet machine of two cores, where a full training takes 5 to 30 s, about 40 minutes a seed:

    python benchmarks/plain_stack.py --data FOLDER --seconds 600 --seeds 3

With ``--together`` both run at the same time, each on a core of its own: half the wall time, and
what else the machine does meets both. Both stacks see the environment of this command. Beside
other work two spinning OpenMP threads stand still (the plain stack then trained nothing in
240 s), so there, and with ``--together``, ``OMP_NUM_THREADS=1`` is set for the plain stack;
archfront's workers set theirs.

A seed is written to ``--out`` when it is done, and not run again by the same command. A run on
which nothing is to be built takes two minutes:

    python benchmarks/plain_stack.py --data FOLDER --smoke --folder /tmp/smoke
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
from plain_judge import Judge, Point, Stack, reference_of, time_ratio, trajectory

from archfront.search.config.build import build
from archfront.search.config.compose import compose
from archfront.search.config.schema import Config
from archfront.search.engine.processes import ProcessEngine
from archfront.search.front.members import build_front
from archfront.search.front.pareto import front_mask
from archfront.search.jobs.perform import perform
from archfront.search.prepare.prepare import Prepared, prepare
from archfront.search.records.candidate import Candidate
from archfront.search.records.paths import StudyPaths
from archfront.search.records.store import reading
from archfront.search.results.results import Results

HERE = Path(__file__).resolve().parent
OUT = HERE / "results" / "plain_stack.json"
BACKBONES = (
    *("lcnet_035", "lcnet_050", "lcnet_075", "lcnet_100", "tinynet_e", "mnasnet_small"),
    *("mobilenetv2_035", "mobilenetv2_050", "mobilenetv3_small_050", "mobilenetv3_small_075"),
    *("mobilenetv3_small_100", "mobilenetv4_conv_small_035", "mobilenetv4_conv_small_050"),
    *("mobilenetv4_conv_small", "resnet10t", "resnet14t", "resnet18", "regnetx_002"),
    *("regnety_002", "semnasnet_050", "efficientvit_b0", "ghostnet_050"),
)
STACKS = ("plain", "archfront")
# Heads that timm has itself, so that the plain stack needs no code for them.
SPACE = {
    "backbones": BACKBONES,
    "heads": ("avg", "avgmax"),
    "input_sizes": (16, 24, 32),
    "params_m_max": "null",
    "recipe.lr": (3e-4, 1e-3, 3e-3, 1e-2),
    "recipe.weight_decay": (0.01, 0.05),
    "recipe.batch_size": (32, 64),
    "recipe.augment": ("none", "light", "strong"),
    "recipe.dropout": (0.0, 0.2),
}


@dataclass(frozen=True)
class Question:
    """What both are asked.

    Attributes:
        config: archfront's configuration of the seed.
        prepared: Its space and data.
        words: The words of the command that composes it.
        folder: Of this seed's files.
        seconds: What each may take.
        sampler: Of the plain stack.
    """

    config: Config
    prepared: Prepared
    words: tuple[str, ...]
    folder: Path
    seconds: float
    sampler: str
    is_together: bool

    def cores(self, stack: str) -> set[int]:
        """Return the cores of a stack: all, or one of its own."""
        cores = sorted(os.sched_getaffinity(0))
        return {cores[STACKS.index(stack)]} if self.is_together else set(cores)


def words_of(options: argparse.Namespace, data: Path, folder: Path, seed: int) -> tuple[str, ...]:
    """Return the command's words for a seed."""
    space = [f"space.{name}={_word(value)}" for name, value in SPACE.items()]
    return (
        "data=folder",
        f"data.root={data}",
        *space,
        f"task.epochs={options.epochs}",
        f"seed={seed}",
        f"study=seed-{seed}",
        f"budget.minutes={options.seconds / 60:.4f}",
        f"engine.workers={options.workers}",
        f"tracking.root={folder / 'mlruns'}",
        f"tracking.device_db={folder / 'device' / 'latency.db'}",
        *options.word,
    )


def _word(value: Any) -> str:
    return f"[{', '.join(map(str, value))}]" if isinstance(value, tuple) else str(value)


def copied(source: Path, folder: Path, sizes: dict[str, int]) -> Path:
    """Return a folder with train, val and test images: parts of the data's train and its val.

    Args:
        source: Has ``train`` and ``val``, each with a folder of images per class.
        folder: Where they go.
        sizes: Images of ``train``, ``val`` (both from the source's train) and ``test``.
    """
    target = folder / "data"
    rng = np.random.default_rng(0)
    for split, parts in {"train": ("train", "val"), "val": ("test",)}.items():
        classes = sorted(p for p in (source / split).iterdir() if p.is_dir())
        counts = {part: sizes[part] // len(classes) for part in parts}
        for class_folder in classes:
            files = sorted(class_folder.iterdir())
            needed = sum(counts.values())
            if len(files) < needed:
                sys.exit(
                    f"{split}/{class_folder.name} has {len(files)} images and {needed} are needed."
                )
            order = iter(rng.permutation(len(files)))
            for part, n_images in counts.items():
                place = target / part / class_folder.name
                place.mkdir(parents=True)
                for _ in range(n_images):
                    shutil.copy(files[next(order)], place)
    return target


def run_plain(question: Question) -> Stack:
    """Run the plain loop in a process of its own."""
    folder = question.folder / "plain"
    folder.mkdir(parents=True, exist_ok=True)
    space, task = question.prepared.space, question.config.task
    recipe = question.config.space.recipe
    axes = {
        "backbone": [axes.backbone.name for axes in space.axes],
        "head": list(space.axes[0].heads),
        "input_size": list(space.axes[0].input_sizes),
        **{n: list(getattr(recipe, n)) for n in ("lr", "weight_decay", "batch_size", "augment")},
        "dropout": list(recipe.dropout),
    }
    content = {
        "axes": axes,
        "classes": space.classes,
        "data": question.config.data.root,
        "epochs": task.epochs,
        "label_smoothing": task.label_smoothing,
        "seconds": question.seconds,
        "started": time.time(),  # imports count: an engineer waits for them too
        "seed": question.config.seed,
        "sampler": question.sampler,
    }
    (folder / "question.json").write_text(json.dumps(content, indent=2))
    command = [sys.executable, str(HERE / "plain_loop.py"), str(folder / "question.json")]
    log, trials = folder / "log.txt", folder / "trials.jsonl"
    _run([*command, str(folder)], log, question.cores("plain"), limit_s=question.seconds)
    rows = (
        [json.loads(line) for line in trials.read_text().splitlines()] if trials.exists() else []
    )
    return plain_stack(rows, _by_choice(question.prepared), question.seconds)


def plain_stack(
    rows: Sequence[dict[str, Any]],
    candidate_of: Callable[[dict[str, Any]], Candidate],
    seconds: float,
) -> Stack:
    """Return the plain loop's front after each of its trials that ended in time."""
    points: list[Point] = []
    in_time = [row for row in rows if row["s"] <= seconds]
    for n, row in enumerate(in_time, start=1):
        losses = np.array([[-r["accuracy"], r["latency_ms"]] for r in in_time[:n]])
        members = np.flatnonzero(front_mask(losses))
        ids = tuple(candidate_of(in_time[i]["choice"]).id for i in members)
        points.append((row["s"], tuple(dict.fromkeys(ids))))
    return Stack("plain", tuple(points), len(in_time))


def _by_choice(prepared: Prepared) -> Callable[[dict[str, Any]], Candidate]:
    """Return what finds the space's candidate for what the plain loop chose."""
    space = prepared.space
    architectures = {(a.backbone, a.head, a.input_size): a for a in space.architectures}
    recipes = {
        (r.lr, r.weight_decay, r.batch_size, r.augment, r.dropout): r for r in space.recipes
    }

    def candidate_of(choice: dict[str, Any]) -> Candidate:
        names = ("lr", "weight_decay", "batch_size", "augment", "dropout")
        architecture = architectures[choice["backbone"], choice["head"], choice["input_size"]]
        recipe = recipes[tuple(choice[name] for name in names)]
        return Candidate(architecture, space.weights[architecture.backbone], recipe)

    return candidate_of


def run_archfront(question: Question) -> Stack:
    """Run the command, and read its front after every evaluation."""
    started = time.time()
    command = [sys.executable, "-m", "archfront.search.cli", "run", *question.words, "--plain"]
    _run(command, question.folder / "archfront.log", question.cores("archfront"))
    places = StudyPaths(Path(question.config.tracking.root), question.config.study)
    results = Results.read(reading(places, None), places)
    evaluations = sorted(results.evaluations, key=lambda e: e.started + e.seconds)
    points: list[Point] = []
    for n, evaluation in enumerate(evaluations, start=1):
        seconds = evaluation.started + evaluation.seconds - started
        if evaluation.kind != "trained" or seconds > question.seconds:
            continue
        members = build_front(evaluations[:n], results.objectives)
        points.append((seconds, tuple(member.candidate.id for member in members)))
    return Stack("archfront", tuple(points), len(points))


def _run(command: list[str], log: Path, cores: set[int], *, limit_s: float | None = None) -> None:
    """Run a command on some cores; at its limit it is ended, which is no failure."""
    path = os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "MLFLOW_DISABLE_TELEMETRY": "true"}
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, env=environment)
        os.sched_setaffinity(process.pid, cores)
        try:
            status = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return
        except BaseException:
            process.kill()
            raise
    if status != 0:
        sys.exit(f"{' '.join(command[1:4])} ended with {status}; see {log}.")


def compared(question: Question, only: str | None) -> dict[str, Any]:
    """Run both, judge both, and return the seed's result."""
    seed = question.config.seed

    def run(name: str) -> Stack:
        print(f"seed {seed}: {name} runs for {question.seconds:g} s", flush=True)
        stack = run_plain(question) if name == "plain" else run_archfront(question)
        print(f"seed {seed}: {name} trained {stack.n_trained}", flush=True)
        return stack

    names = [name for name in STACKS if only in (None, name)]
    with ThreadPoolExecutor(len(names) if question.is_together else 1) as pool:
        stacks = list(pool.map(run, names))
    space, objectives = question.prepared.space, question.prepared.objectives
    wanted = {i for stack in stacks for _, ids in stack.points for i in ids}
    candidates = [c for c in map(space.at, range(space.size)) if c.id in wanted]
    with ProcessEngine(perform, workers=1) as engine:
        data, folder = question.prepared.data, question.folder / "judge"
        judge = Judge(question.config, data, folder, engine)
        judge.judge(candidates)
    reference = reference_of(judge.found, space.classes)
    rows = {s.name: trajectory(s, judge.found, objectives, reference) for s in stacks}
    final = {name: rows[name][-1]["hypervolume"] if rows[name] else 0.0 for name in rows}
    best = {n: max((row["hypervolume"] for row in rows[n]), default=0.0) for n in rows}
    return {
        "seed": seed,
        "seconds": question.seconds,
        "time_ratio": None if only else time_ratio(rows, final["plain"], question.seconds),
        "time_ratio_best": None if only else time_ratio(rows, best["plain"], question.seconds),
        "hypervolume": final,
        "best_hypervolume": best,
        "n_trained": {stack.name: stack.n_trained for stack in stacks},
        "reference": reference.values,
        "judged": {
            c.id: {"label": c.label, "accuracy": judge.found[c.id][0], "ms": judge.found[c.id][1]}
            for c in candidates
        },
        "trajectory": rows,
    }


def check_full(prepared: Prepared) -> None:
    """Stop unless every backbone takes every head and size: the plain stack knows no rules."""
    odd = [
        axes.backbone.name
        for axes in prepared.space.axes
        if (axes.heads, axes.input_sizes) != (SPACE["heads"], SPACE["input_sizes"])
    ]
    missing = set(BACKBONES) - {axes.backbone.name for axes in prepared.space.axes}
    if odd or missing:
        sys.exit(f"These backbones do not take every head and size: {odd or missing}.")


def main() -> None:
    options = _options()
    settings = {
        name: getattr(options, name)
        for name in ("seconds", "epochs", "train_images", "val_images", "workers", "sampler")
    } | {"words": options.word, "together": options.together}
    results = _read(options.out, settings)
    folder = options.folder or Path(mkdtemp(prefix="plain-stack-"))
    sizes = {n: getattr(options, f"{n}_images") for n in ("train", "val", "test")}
    shutil.rmtree(folder / "data", ignore_errors=True)
    data = copied(options.data, folder, sizes)
    for seed in range(options.seeds):
        if seed in [row["seed"] for row in results["seeds"]]:
            print(f"seed {seed}: found in {options.out}; move it away to run it again")
            continue
        place = folder / f"seed-{seed}"
        shutil.rmtree(place, ignore_errors=True)  # left by a run that was stopped
        (place / "device").mkdir(parents=True)
        words = words_of(options, data, place, seed)
        composed = compose(words)
        config = build(composed.content, texts=composed.texts)
        prepared = prepare(config)
        check_full(prepared)
        question = Question(
            config, prepared, words, place, options.seconds, options.sampler, options.together
        )
        row = compared(question, options.only)
        results["seeds"].append(row)
        _write(options.out, results)
        print(f"seed {seed}: {json.dumps({k: row[k] for k in ('time_ratio', 'hypervolume')})}")


def _read(out: Path, settings: dict[str, Any]) -> dict[str, Any]:
    if not out.is_file():
        return {"settings": settings, "seeds": []}
    results: dict[str, Any] = json.loads(out.read_text())
    if results["settings"] != settings:
        sys.exit(f"{out} holds results of other settings: {results['settings']}. Move it away.")
    return results


def _write(out: Path, results: dict[str, Any]) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(out.name + ".part")
    part.write_text(json.dumps(results, indent=1) + "\n")
    part.replace(out)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="with train/ and val/ folders")
    parser.add_argument("--seconds", type=float, default=600, help="of each stack, wall")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=9, help="of a full training")
    parser.add_argument("--train-images", type=int, default=600)
    parser.add_argument("--val-images", type=int, default=500)
    parser.add_argument("--test-images", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=1, help="of archfront")
    parser.add_argument("--sampler", choices=["tpe", "nsga2"], default="tpe", help="plain's")
    parser.add_argument("--only", choices=STACKS, help="run one of both")
    parser.add_argument("--together", action="store_true", help="at once, on a core each")
    parser.add_argument("--word", action="append", default=[], help="more words for archfront")
    parser.add_argument("--folder", type=Path, help="for files; default: a new temporary one")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--smoke", action="store_true", help="one seed, 60 s, shortest trainings")
    options = parser.parse_args()
    if options.smoke:
        options.seconds, options.seeds, options.epochs = 60, 1, 1
        options.train_images, options.val_images, options.test_images = 300, 200, 200
        if options.out == OUT:
            options.out = (options.folder or Path()) / "smoke.json"
    return options


if __name__ == "__main__":
    main()
