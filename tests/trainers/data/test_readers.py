from __future__ import annotations

import csv
import gzip
import inspect
import json
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import datasets

from archfront.trainers.data import READERS, DataRef, Dataset, ImageSet, Preprocess, load
from archfront.trainers.data.batch_targets import Targets
from archfront.trainers.data.readers.shapes import mask_of, scene
from archfront.trainers.data.readers.torchvision_datasets import DATASETS
from archfront.trainers.data.targets import IGNORED, Mask, Objects, TargetKind, class_counts
from archfront.trainers.errors import DataError
from tests.support.drawn_datasets import (
    NAMES,
    SHAPES,
    WRITERS,
    box_of,
    write_coco,
    write_masks,
    write_table,
    write_yolo,
)
from tests.support.drawn_images import REF, draw, draw_fashion_mnist, draw_folder
from tests.support.programs import LIGHT, Programs

DIGITS = replace(REF, reader="digits", train=600, val=600, test=597)


def data_for(reader: str, target: TargetKind, folder: Path) -> DataRef:
    """Write a small dataset for a reader, where it needs one, and return how to load it."""
    if reader in WRITERS:
        return WRITERS[reader](folder, target)
    if reader == "folder":
        return draw_folder(folder, {"cat": 12, "dog": 9, "Dog": 8})
    return draw_fashion_mnist(folder) if reader == "torchvision" else {"digits": DIGITS}[reader]


def preprocess_for(dataset: Dataset, input_size: int = 9) -> Preprocess:
    half = (0.5,) * dataset.channels
    return Preprocess(input_size, dataset.channels, mean=half, std=half)


def same(one: Targets, other: Targets) -> bool:
    """Return whether two batches teach the same."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    pairs = zip(one, other, strict=True)
    return all(
        a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a) for a, b in pairs
    )


GIVEN = [(name, target) for name in sorted(READERS) for target in READERS[name].gives]


@pytest.fixture(scope="module", params=GIVEN, ids="-".join)
def ref(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> DataRef:
    reader, target = request.param
    return data_for(reader, target, tmp_path_factory.mktemp(reader))


class TestEveryReader:
    def test_it_gives_train_val_and_test_without_overlap(self, ref: DataRef) -> None:
        splits = load(ref).splits
        assert list(splits) == ["train", "val", "test"]
        names = [name for samples in splits.values() for name in samples.names]
        assert len(set(names)) == len(names) > 0

    def test_every_class_is_in_every_split(self, ref: DataRef) -> None:
        dataset = load(ref)
        for samples in dataset.splits.values():
            shown = {label for s in samples.samples for label in class_counts(s.target)}
            assert shown == set(range(len(dataset.class_names)))

    def test_images_in_memory_and_from_their_files_are_the_same(self, ref: DataRef) -> None:
        held, lazy = load(ref), load(replace(ref, memory_mb=0))
        assert held.fingerprint == lazy.fingerprint
        for split, samples in held.splits.items():
            fast = ImageSet.of(samples, preprocess_for(held))
            slow = ImageSet.of(lazy.splits[split], preprocess_for(held))
            assert fast.tensor is not None
            assert slow.tensor is None
            order = torch.arange(len(fast)).flip(0).split(7)
            for one, other in zip(fast.batches(order), slow.batches(order), strict=True):
                assert torch.equal(one[0], other[0])
                assert same(one[1], other[1])

    def test_items_and_batches_agree_and_have_the_shapes_of_their_kind(self, ref: DataRef) -> None:
        dataset = load(ref)
        samples = dataset.splits["val"]
        images = ImageSet.of(samples, preprocess_for(dataset))
        (batch, targets), *_ = images.batches([torch.tensor([3, 1])])
        assert batch.shape == (2, dataset.channels, 9, 9)
        assert batch.dtype == torch.uint8
        assert torch.equal(batch[0], images[3])
        classes = [class_counts(samples.samples[i].target) for i in (3, 1)]
        assert shown_in(targets, ref.target, len(dataset.class_names)) == [set(c) for c in classes]

    def test_an_equal_ref_gives_the_same_object(self, ref: DataRef) -> None:
        dataset = load(ref)
        assert load(pickle.loads(pickle.dumps(ref))) is dataset
        preprocess = preprocess_for(dataset)
        first, again = (ImageSet.of(dataset.splits["train"], preprocess).tensor for _ in range(2))
        assert first is not None
        assert again is not None
        assert first.data_ptr() == again.data_ptr()

    def test_another_split_seed_gives_another_split_of_the_same_size(self, ref: DataRef) -> None:
        first, other = load(ref), load(replace(ref, split_seed=1))
        assert first.fingerprint != other.fingerprint
        assert first.splits["train"].names != other.splits["train"].names
        for split, samples in first.splits.items():
            assert len(samples) == len(other.splits[split])

    def test_its_summary_is_json_and_counts_what_there_is(self, ref: DataRef) -> None:
        dataset = load(ref)
        summary = json.loads(json.dumps(asdict(dataset.summary())))
        assert summary["counted"] == COUNTED[ref.target]
        assert (summary["objects"] is not None) is (summary["counted"] == "objects")
        for split, samples in dataset.splits.items():
            told = summary["splits"][split]
            assert told["images"] == len(samples)
            counts = [sum(class_counts(s.target).values()) for s in samples.samples]
            assert sum(told["per_class"].values()) == sum(counts) > 0

    def test_the_channels_can_be_set(self, ref: DataRef) -> None:
        assert {load(replace(ref, channels=c, memory_mb=1)).channels for c in (1, 3)} == {1, 3}


COUNTED = {
    "label": "images",
    "labels": "images",
    "mask": "pixels",
    "boxes": "objects",
    "outlines": "objects",
}


def shown_in(targets: Targets, kind: TargetKind, classes: int) -> list[set[int]]:
    """Return the classes in each entry of a batch, whose shapes are checked."""
    if isinstance(targets, list):
        for one in targets:
            n = len(one["labels"])
            assert one["boxes"].shape == (n, 4)
            assert one["labels"].dtype == torch.int64
            assert (one["boxes"][:, 2:] > one["boxes"][:, :2]).all()
            assert ("masks" in one) is (kind == "outlines")
            assert kind != "outlines" or one["masks"].shape == (n, 9, 9)
        return [set(one["labels"].tolist()) for one in targets]
    if kind == "label":
        assert targets.dtype == torch.int64
        return [{label} for label in targets.tolist()]
    if kind == "labels":
        assert (targets.shape, targets.dtype) == ((2, classes), torch.float32)
        return [set(torch.nonzero(row)[:, 0].tolist()) for row in targets]
    assert (targets.shape, targets.dtype) == ((2, 9, 9), torch.uint8)
    return [set(mask.unique().tolist()) - {IGNORED} for mask in targets]


class TestOneDatasetInEveryFormat:
    """The drawn shapes are the truth that every file of them has to give back."""

    @pytest.mark.parametrize("reader", ["coco", "voc", "yolo"])
    def test_boxes_are_those_that_were_drawn(self, tmp_path: Path, reader: str) -> None:
        ref = WRITERS[reader](tmp_path, "boxes")
        raw = READERS[reader].read(ref)
        names = raw.class_names
        assert sorted(names) == sorted(NAMES)
        for index, sample in enumerate(raw.parts["all"]):
            truth = scene(SHAPES, index)
            assert isinstance(sample.target, Objects)
            assert [names[label] for label in sample.target.labels] == [
                NAMES[item.label] for item in truth
            ]
            assert np.allclose(sample.target.boxes, [box_of(item) for item in truth], atol=1e-4)

    def test_boxes_in_shares_are_those_that_were_drawn(self, tmp_path: Path) -> None:
        raw = READERS["yolo"].read(write_yolo(tmp_path, has_outlines=False))
        for index, sample in enumerate(raw.parts["all"]):
            assert isinstance(sample.target, Objects)
            expected = [box_of(item) for item in scene(SHAPES, index)]
            assert np.allclose(sample.target.boxes, expected, atol=1e-4)

    @pytest.mark.parametrize("reader", ["coco", "yolo"])
    def test_outlines_are_those_that_were_drawn(self, tmp_path: Path, reader: str) -> None:
        raw = READERS[reader].read(WRITERS[reader](tmp_path, "outlines"))
        for index, sample in enumerate(raw.parts["all"]):
            assert isinstance(sample.target, Objects)
            assert sample.target.segments is not None
            for segment, item in zip(sample.target.segments, scene(SHAPES, index), strict=True):
                assert np.allclose(np.ravel(segment), item.corners.ravel(), atol=1e-4)

    @pytest.mark.parametrize("is_color", [False, True])
    def test_masks_are_those_that_were_drawn(self, tmp_path: Path, is_color: bool) -> None:
        raw = READERS["masks"].read(write_masks(tmp_path, is_color=is_color))
        assert raw.class_names == ("background", *NAMES)
        for index, sample in enumerate(raw.parts["all"]):
            assert isinstance(sample.target, Mask)
            assert np.array_equal(sample.target.indices(), mask_of(SHAPES, index))

    def test_masks_of_outlines_are_those_that_were_drawn_but_for_rims(
        self, tmp_path: Path
    ) -> None:
        raw = READERS["coco"].read(replace(write_coco(tmp_path), target="mask"))
        assert raw.class_names == ("background", *NAMES)
        for index, sample in enumerate(raw.parts["all"]):
            assert isinstance(sample.target, Mask)
            differs = sample.target.indices() != mask_of(SHAPES, index)
            assert differs.mean() < 0.02

    @pytest.mark.parametrize("by_column", [False, True])
    @pytest.mark.parametrize("target", ["label", "labels"])
    def test_tables_have_the_labels_that_were_drawn(
        self, tmp_path: Path, target: TargetKind, by_column: bool
    ) -> None:
        raw = READERS["csv"].read(write_table(tmp_path, target, by_column=by_column))
        assert sorted(raw.class_names) == sorted(NAMES)
        for index, sample in enumerate(raw.parts["all"]):
            found = {raw.class_names[label] for label in class_counts(sample.target)}
            truth = sorted({item.label for item in scene(SHAPES, index)})
            assert found == {
                NAMES[label] for label in (truth if target == "labels" else truth[:1])
            }


def test_naming_a_reader_imports_no_torch(programs: Programs) -> None:
    code = (
        "import sys; from archfront.trainers.data import READERS, DataRef;"
        "from archfront.trainers.data.readers.torchvision_datasets import DATASETS;"
        "print([m for m in ('torch', 'torchvision', 'sklearn') if m in sys.modules])"
    )
    shown = programs.run(code, imports=LIGHT, sees_repository=True)
    assert shown.strip() == "[]"


def test_an_unknown_reader_is_refused_with_the_nearest() -> None:
    with pytest.raises(DataError, match=r"'foldr'\. Did you mean 'folder'\? Known: coco, csv"):
        load(replace(REF, reader="foldr"))


def test_the_digits_are_split_600_600_597_with_values_up_to_255() -> None:
    dataset = load(DIGITS)
    assert [len(samples) for samples in dataset.splits.values()] == [600, 600, 597]
    assert dataset.channels == 1
    images = ImageSet.of(dataset.splits["train"], preprocess_for(dataset, 8)).tensor
    assert images is not None
    assert (int(images.min()), int(images.max())) == (0, 255)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder on this machine and give its address."""
    handler = partial(SimpleHTTPRequestHandler, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


class TestTorchvision:
    def test_its_own_test_split_is_kept_and_val_comes_off_train(self, tmp_path: Path) -> None:
        dataset = load(draw_fashion_mnist(tmp_path))
        sizes = {name: len(samples) for name, samples in dataset.splits.items()}
        assert sizes == {"train": 40, "val": 20, "test": 20}
        assert dataset.class_names[0] == "T-shirt/top"
        assert all(name.startswith("test/") for name in dataset.splits["test"].names)
        assert dataset.division == (
            "stratified into train, val with seed 0; test as the data gives it"
        )

    def test_pixels_are_those_of_the_file(self, tmp_path: Path) -> None:
        dataset = load(draw_fashion_mnist(tmp_path))
        images = ImageSet.of(dataset.splits["test"], preprocess_for(dataset, 28)).tensor
        assert images is not None
        drawn = np.random.default_rng(1).integers(0, 256, (20, 28, 28), np.uint8)
        assert np.array_equal(images[:, 0].numpy(), drawn)

    def test_three_splits_by_name_are_taken_as_they_are(self, tmp_path: Path) -> None:
        for folder, n in {"train": 4, "valid": 2, "test": 3}.items():
            draw_folder(tmp_path / "rendered-sst2" / folder, {"negative": n, "positive": n})
        dataset = load(torchvision_ref(tmp_path, "RenderedSST2"))
        assert {name: len(s) for name, s in dataset.splits.items()} == {
            "train": 8,
            "val": 4,
            "test": 6,
        }
        assert dataset.class_names == ("negative", "positive")

    def test_train_and_test_by_name_and_labels_as_class_names(self, tmp_path: Path) -> None:
        base = tmp_path / "gtsrb"
        for label in (0, 1):
            folder = base / "GTSRB" / "Training" / f"{label:05d}"
            folder.mkdir(parents=True)
            for index in range(6):
                Image.fromarray(draw(index)).save(folder / f"{index}.ppm")
        finals = base / "GTSRB" / "Final_Test" / "Images"
        finals.mkdir(parents=True)
        for label in (0, 1):
            Image.fromarray(draw(9 + label)).save(finals / f"{label}.ppm")
        with (base / "GT-final_test.csv").open("w", newline="") as file:
            rows = csv.writer(file, delimiter=";")
            rows.writerows([["Filename", "ClassId"], ["0.ppm", 0], ["1.ppm", 1]])
        dataset = load(torchvision_ref(tmp_path, "GTSRB"))
        assert {name: len(s) for name, s in dataset.splits.items()} == {
            "train": 8,
            "val": 4,
            "test": 2,
        }
        assert dataset.class_names == ("0", "1")

    def test_undivided_data_is_divided_three_ways(self, tmp_path: Path) -> None:
        draw_folder(tmp_path / "eurosat" / "2750", {"Forest": 8, "River": 8})
        for image in list((tmp_path / "eurosat").rglob("*.png")):
            image.rename(image.with_suffix(".jpg"))
        dataset = load(torchvision_ref(tmp_path, "EuroSAT"))
        assert [len(samples) for samples in dataset.splits.values()] == [8, 4, 4]
        assert dataset.class_names == ("Forest", "River")

    @pytest.mark.parametrize("name", sorted(DATASETS))
    def test_every_listed_dataset_takes_its_arguments(self, name: str) -> None:
        signature = inspect.signature(getattr(datasets, name))
        layout = DATASETS[name]
        for arguments in layout.parts.values():
            signature.bind("root", **layout.extra, **arguments)

    def test_an_unknown_name_is_refused_with_the_nearest(self, tmp_path: Path) -> None:
        message = "'FashonMNIST'. Did you mean 'FashionMNIST'"
        with pytest.raises(DataError, match=message):
            load(torchvision_ref(tmp_path, "FashonMNIST"))

    @pytest.mark.parametrize("name", ["MNIST", "USPS", "EuroSAT", "EMNIST"])
    def test_what_is_not_there_names_the_flag_that_fetches_it(
        self, tmp_path: Path, name: str
    ) -> None:
        message = f"torchvision's {name} is not in data.root .*: set data.download=true"
        with pytest.raises(DataError, match=message):
            load(torchvision_ref(tmp_path, name))
        assert list(tmp_path.iterdir()) == []

    def test_downloading_fetches_what_is_not_there(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The mirror is a folder of this machine, served to itself."""
        there, here = tmp_path / "mirror", tmp_path / "not" / "yet"
        mirrored = draw_fashion_mnist(there)
        for file in (there / "FashionMNIST" / "raw").iterdir():
            (there / f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
        files = [(name, None) for name, _ in datasets.FashionMNIST.resources]
        monkeypatch.setattr(datasets.FashionMNIST, "resources", files)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        with served(there) as address:
            monkeypatch.setattr(datasets.FashionMNIST, "mirrors", [address])
            fetched = load(replace(mirrored, root=str(here), download=True))
        assert fetched.fingerprint == load(mirrored).fingerprint

    def test_a_download_that_fails_says_where_to_place_the_files(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        nowhere = (tmp_path / "nowhere").as_uri()
        monkeypatch.setattr(datasets.FashionMNIST, "mirrors", [f"{nowhere}/"])
        ref = replace(torchvision_ref(tmp_path / "data", "FashionMNIST"), download=True)
        with pytest.raises(DataError, match=r"could not download FashionMNIST to .*/data: "):
            load(ref)

    @pytest.mark.parametrize("name", ["ImageNet", "FER2013"])
    def test_what_torchvision_cannot_fetch_is_to_be_placed_by_hand(
        self, tmp_path: Path, name: str
    ) -> None:
        with pytest.raises(DataError, match="cannot download this one: place its files there"):
            load(replace(torchvision_ref(tmp_path, name), download=True))

    def test_a_root_is_needed(self) -> None:
        with pytest.raises(DataError, match=r"data=torchvision needs data\.root"):
            load(replace(REF, reader="torchvision", name="MNIST"))


def torchvision_ref(root: Path, name: str) -> DataRef:
    return replace(REF, reader="torchvision", name=name, root=str(root))
