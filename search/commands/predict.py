"""``archfront predict``: the answers of an exported model to images."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archfront.search.commands.consoles import echo, wide_console
from archfront.search.commands.flags import Problems, check_flags, not_counts
from archfront.search.errors import ArtifactError, DataError, ExportError
from archfront.trainers.safe_text import visible_line
from archfront.trainers.words import count_of, score_text

if TYPE_CHECKING:
    from archfront.search.predict.answer import Answer, PredictedImage
    from archfront.search.predict.predictor import Predictor
    from archfront.trainers.data.images import Pixels

TEXT = """\
The artifact is a folder that 'archfront export' wrote, the folder of one of its formats, or the
model file in it. Its checksums are verified first. ONNX and OpenVINO need no PyTorch, and are
taken first where no format is named.

TorchScript, torch.export and transformers' files with code are programs: they are opened when the
export has your signature, which 'archfront export' gives it, or with --trust.

examples:
  archfront predict knee photo.jpg
  archfront predict knee/openvino photos/*.jpg --json > answers.jsonl
  archfront predict knee photos --draw pictures
"""
WIDTH = 140
# Objects of an image that the table shows.
N_SHOWN = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``archfront predict`` takes."""
    parser.epilog = TEXT
    parser.add_argument(
        "artifact", type=Path, help="the folder of an export, or one of its formats"
    )
    parser.add_argument(
        "images", type=Path, nargs="+", metavar="image", help="files, or folders of images"
    )
    parser.add_argument("--format", metavar="NAME", help="which format of the export")
    parser.add_argument(
        "--trust",
        action="store_true",
        help="open an export of someone else like your own: programs too, and without limits",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="a JSON object per image and line")
    form.add_argument(
        "--draw", type=Path, metavar="DIR", help="write images with the answers drawn on them"
    )
    parser.add_argument(
        "--min-score",
        type=float,
        metavar="S",
        help="least score of labels and objects (default: the export's)",
    )
    parser.add_argument(
        "--threads", type=int, default=1, help="threads of the runtime (default: 1)"
    )


def call(arguments: argparse.Namespace) -> int:
    """Predict and print or draw; return 1 where an image has no answer."""
    check_flags(_problems(arguments))
    from archfront.search.predict.predictor import open_predictor
    from archfront.trainers.data.images import read_pixels

    files = list(image_files(arguments.images))
    targets = {} if arguments.draw is None else _targets(files, arguments.draw)
    status, rows = 0, []
    with open_predictor(
        arguments.artifact,
        arguments.format,
        threads=arguments.threads,
        is_trusted=arguments.trust,
    ) as predictor:
        for file in targets or files:
            try:
                pixels = read_pixels(file, predictor.manifest.preprocess.decoding)
                asked, said = answer_to(predictor, pixels, arguments.min_score)
            # The image cannot be read, or the network has no answer to it within its limits.
            except (DataError, ExportError, ArtifactError) as error:
                status = 1
                _complain(f"{visible_line(str(file))}: {error}")
                continue
            if arguments.draw is not None:
                _draw(pixels, asked, said, targets[file])
            rows.append({"image": str(file), **said})
            if arguments.json:
                echo(json.dumps(rows[-1]))
    if arguments.draw is not None:
        echo(f"{count_of(len(rows), 'picture')} in {arguments.draw}")
    elif not arguments.json and rows:
        _print_table(rows)
    return status


def answer_to(
    predictor: Predictor, pixels: Pixels, min_score: float | None = None
) -> tuple[PredictedImage, Answer]:
    """Return one image with its outputs, and what the model says of it.

    Args:
        predictor: The opened model.
        pixels: The image, uint8 ``(H, W, 1 or 3)``.
        min_score: From which score on labels and objects count; the export's when None.
    """
    from archfront.search.predict.answer import answer

    asked = predictor.predicted(pixels, min_score)
    return asked, answer(asked)


def _draw(pixels: Pixels, asked: PredictedImage, said: Answer, file: Path) -> None:
    from archfront.search.predict.draw import drawn

    file.parent.mkdir(parents=True, exist_ok=True)
    drawn(pixels, asked, said).save(file)


def value_problems(min_score: float | None, threads: int) -> Problems:
    """Return what is wrong with a threshold and a number of threads, by option."""
    problems: Problems = {}
    if min_score is not None and not 0 <= min_score <= 1:
        problems["min_score"] = f"a number from 0 to 1 is needed; got {min_score:g}."
    return problems | not_counts({"threads": threads})


def _problems(arguments: argparse.Namespace) -> Problems:
    problems = value_problems(arguments.min_score, arguments.threads)
    if arguments.draw is not None and arguments.draw.exists() and not arguments.draw.is_dir():
        problems["draw"] = f"{arguments.draw} is a file. Give a folder."
    return problems


def image_files(places: Iterable[Path]) -> Iterator[Path]:
    """Yield the images of files and folders; of a folder without, those of the folders below it.

    Raises:
        ArtifactError: If a place is not there, or a folder has no image.
    """
    from archfront.trainers.data.images import EXTENSIONS
    from archfront.trainers.data.readers.paths import images_below, images_in

    for place in places:
        if not place.exists():
            raise ArtifactError(f"There is no image or folder {place}.")
        if not place.is_dir():
            yield place
            continue
        found = images_in(place) or images_below(place)
        if not found:
            raise ArtifactError(
                f"The folder {place} has no image ({', '.join(sorted(EXTENSIONS))})."
            )
        yield from found


def _targets(files: Iterable[Path], folder: Path) -> dict[Path, Path]:
    """Return where the picture of each image goes: below a folder, no two to one place.

    Raises:
        ConfigError: If a picture would replace one of the images.
    """
    targets: dict[Path, Path] = {}
    taken: set[str] = set()
    counts: Counter[str] = Counter()
    for file in dict.fromkeys(files):
        name = f"{file.stem}.png"
        while name in taken:
            counts[file.stem] += 1
            name = f"{file.stem}-{counts[file.stem] + 1}.png"
        taken.add(name)
        targets[file] = folder / name
    images = {file.resolve() for file in targets}
    replaced = next((t for t in targets.values() if t.resolve() in images), None)
    if replaced is not None:
        text = f"a picture would replace the image {replaced}. Give another folder."
        check_flags({"draw": text})
    return targets


def _print_table(rows: list[dict[str, Any]]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for name in ("image", "answer"):
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(Text(visible_line(row["image"])), Text(_text(row)))
    wide_console(WIDTH).print(table)


def _text(row: dict[str, Any]) -> str:
    """Return an answer as text."""
    if "label" in row:
        return f"{row['label']} {row['score']:.2f}"
    if "labels" in row:
        return (
            ", ".join(f"{one['label']} {one['score']:.2f}" for one in row["labels"]) or "nothing"
        )
    if "classes" in row:
        return ", ".join(f"{one['label']} {one['share']:.1%}" for one in row["classes"])
    objects = row["objects"]
    lines = [
        f"{one['label']} {score_text(one['score'])} at "
        + ", ".join(f"{value:.0f}" for value in one["box"])
        for one in objects[:N_SHOWN]
    ]
    more = [f"and {len(objects) - N_SHOWN} more"] if len(objects) > N_SHOWN else []
    return "\n".join([*lines, *more]) or "nothing"


def _complain(text: str) -> None:
    echo(f"archfront: {text}", to_stderr=True)
