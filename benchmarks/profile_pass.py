"""What a profile costs: time and memory of one pass over images, and of a second call.

::

    python benchmarks/profile_pass.py --images 1000 10000

Draws JPEG files of 256 px in ten classes and profiles them in processes of their own, next to the
plain loop that one writes without archfront: Pillow opens each file in full, numpy takes mean,
standard deviation, histogram and entropy of the gray values and steep steps, and an average hash
is compared with a set. Processor time and the largest memory are those of each process; the
seconds by the clock depend on what else runs. Aims: 10,000 images in at most 60 s on two cores,
which are at most 120 s of processor time; a second call in at most 0.5 s; and memory at the most
images of at most 1.3 times that at the fewest.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

SIDE, N_CLASSES, N_SCENES = 256, 10, 12
AIM_S, AIM_CACHED_S, AIM_GROWTH = 120.0, 0.5, 1.3
LOOP = "the plain loop"
COMMAND = "archfront profile"


@dataclass(frozen=True)
class Cost:
    """What a process took."""

    wall_s: float
    cpu_s: float
    peak_mb: float


def main() -> None:
    options = _options()
    costs: dict[tuple[str, int], Cost] = {}
    with TemporaryDirectory(prefix="archfront-profile-", dir=options.folder) as folder:
        for n in options.images:
            root, cache = Path(folder) / f"images-{n}", Path(folder) / f"cache-{n}"
            draw(root, n)
            command = [sys.executable, "-m", "archfront.search.cli", "profile", "--plain"]
            command += ["data=folder", f"data.root={root}", "--json"]
            environment = {**os.environ, "ARCHFRONT_DEVICE_DB": str(cache / "latency.db")}
            loop = [sys.executable, __file__, "--loop", str(root)]
            costs[COMMAND, n] = cost_of(command, environment)
            costs[f"{COMMAND}, again", n] = cost_of(command, environment)
            costs[LOOP, n] = cost_of(loop, environment)
    print(f"{'':<26} {'images':>7} {'wall s':>8} {'cpu s':>8} {'peak MB':>8}")
    for (name, n), cost in costs.items():
        print(f"{name:<26} {n:>7,} {cost.wall_s:>8.2f} {cost.cpu_s:>8.2f} {cost.peak_mb:>8.0f}")
    _judge(costs, min(options.images), max(options.images))


def _judge(costs: dict[tuple[str, int], Cost], fewest: int, most: int) -> None:
    """Print every aim with what was reached."""
    cold, again = costs[COMMAND, most], costs[f"{COMMAND}, again", most]
    growth = cold.peak_mb / costs[COMMAND, fewest].peak_mb
    aims = (
        (f"processor seconds of {most:,} images", cold.cpu_s, AIM_S),
        ("processor seconds of a second call", again.cpu_s, AIM_CACHED_S),
        (f"memory at {most:,} images over that at {fewest:,}", growth, AIM_GROWTH),
        ("processor time over the plain loop's", cold.cpu_s / costs[LOOP, most].cpu_s, 1.0),
    )
    for name, found, aim in aims:
        print(f"{name}: {found:.2f}, aim {aim:g}{'' if found <= aim else ', missed'}")


def cost_of(command: list[str], environment: dict[str, str]) -> Cost:
    """Return what a command takes in a process of its own."""
    start = time.perf_counter()
    # The largest memory of ended children never falls, so each has a parent of its own.
    program = (
        "import json, resource, subprocess, sys\n"
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "print(json.dumps([used.ru_utime + used.ru_stime, used.ru_maxrss]))"
    )
    parent = [sys.executable, "-c", program, *command]
    ended = subprocess.run(parent, check=True, stdout=subprocess.PIPE, env=environment)
    cpu_s, peak_kb = json.loads(ended.stdout)
    return Cost(time.perf_counter() - start, cpu_s, peak_kb / 1024)


def draw(root: Path, n: int) -> None:
    """Write JPEG files of random windows of random scenes."""
    rng = np.random.default_rng(0)
    scenes = [_scene(rng) for _ in range(N_SCENES)]
    for label in range(N_CLASSES):
        (root / f"class{label}").mkdir(parents=True)
    for number in range(n):
        scene = scenes[int(rng.integers(N_SCENES))]
        left, top = rng.integers(0, scene.width - SIDE, 2).tolist()
        window = scene.crop((left, top, left + SIDE, top + SIDE))
        file = root / f"class{number % N_CLASSES}" / f"{number:06d}.jpg"
        window.point((np.arange(256) * rng.uniform(0.7, 1)).tolist() * 3).save(file, quality=85)


def _scene(rng: np.random.Generator) -> Image.Image:
    side = 4 * SIDE
    scene = np.full((side, side, 3), 110.0)
    for cells, strength in ((6, 30), (40, 30), (200, 20)):
        for channel in range(3):
            coarse = Image.fromarray(rng.normal(0, strength, (cells, cells)).astype(np.float32))
            scene[..., channel] += np.asarray(
                coarse.resize((side, side), Image.Resampling.BICUBIC)
            )
    return Image.fromarray(scene.clip(0, 255).astype(np.uint8))


def plain_loop(root: Path) -> dict[str, float]:
    """Return means over images, by what one writes without archfront."""
    rows, hashes, n_copies = [], set(), 0
    for file in sorted(root.rglob("*.jpg")):
        image = Image.open(file).convert("RGB")
        pixels = np.asarray(image, np.float32) / 255
        grey = np.asarray(image.convert("L"), np.int16)
        counts = np.bincount(grey.ravel(), minlength=256)
        shares = counts[counts > 0] / counts.sum()
        steps = (np.abs(np.diff(grey, axis=0)) > 25).mean()
        small = np.asarray(image.convert("L").resize((8, 8)))
        key = (small > small.mean()).tobytes()
        n_copies += key in hashes
        hashes.add(key)
        entropy = -(shares * np.log2(shares)).sum()
        rows.append([*image.size, pixels.mean(), pixels.std(), entropy, steps])
    means = np.array(rows).mean(axis=0).tolist()
    names = ("width", "height", "mean", "std", "entropy", "edges")
    return {**dict(zip(names, means, strict=True)), "copies": n_copies}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--folder", type=Path, help="where the images are drawn")
    parser.add_argument("--loop", type=Path, metavar="DIR", help="only the plain loop")
    options = parser.parse_args()
    if options.loop is not None:
        print(json.dumps(plain_loop(options.loop)))
        sys.exit(0)
    return options


if __name__ == "__main__":
    main()
