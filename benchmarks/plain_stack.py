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
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
from plain_judge import Judge, Stack, reference_of, time_ratio, trajectory
from stack_runs import STACKS, Question, run_archfront, run_plain

from archfront.search.config.build import build
from archfront.search.config.compose import compose
from archfront.search.engine.processes import ProcessEngine
from archfront.search.jobs.perform import perform
from archfront.search.prepare.prepare import Prepared, prepare

HERE = Path(__file__).resolve().parent
OUT = HERE / "results" / "plain_stack.json"
BACKBONES = (
    *("lcnet_035", "lcnet_050", "lcnet_075", "lcnet_100", "tinynet_e", "mnasnet_small"),
    *("mobilenetv2_035", "mobilenetv2_050", "mobilenetv3_small_050", "mobilenetv3_small_075"),
    *("mobilenetv3_small_100", "mobilenetv4_conv_small_035", "mobilenetv4_conv_small_050"),
    *("mobilenetv4_conv_small", "resnet10t", "resnet14t", "resnet18", "regnetx_002"),
    *("regnety_002", "semnasnet_050", "efficientvit_b0", "ghostnet_050"),
)
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
