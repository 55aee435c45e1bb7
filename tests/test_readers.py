from __future__ import annotations

import csv
import gzip
import inspect
import json
import pickle
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import torch
from drawn_images import REF, draw, draw_fashion_mnist, draw_folder
from PIL import Image
from torchvision import datasets

from trainers.data import READERS, DataRef, Dataset, Preprocess, load
from trainers.data.named import DATASETS
from trainers.errors import DataError

DIGITS = replace(REF, reader="digits", train=600, val=600, test=597)


def data_for(reader: str, folder: Path) -> DataRef:
    """Write a small dataset for a reader, where it needs one, and return how to load it."""
    if reader == "folder":
        return draw_folder(folder, {"cat": 12, "dog": 9, "Dog": 8})
    return draw_fashion_mnist(folder) if reader == "torchvision" else DIGITS


def preprocess_for(dataset: Dataset, input_size: int = 9) -> Preprocess:
    half = (0.5,) * dataset.channels
    return Preprocess(input_size, dataset.channels, mean=half, std=half)


@pytest.fixture(scope="module", params=sorted(READERS))
def ref(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> DataRef:
    return data_for(request.param, tmp_path_factory.mktemp(request.param))


class TestEveryReader:
    def test_it_gives_train_val_and_test_without_overlap(self, ref: DataRef) -> None:
        splits = load(ref).splits
        assert list(splits) == ["train", "val", "test"]
        names = [name for samples in splits.values() for name in samples.names]
        assert len(set(names)) == len(names) > 0

    def test_every_class_is_in_every_split(self, ref: DataRef) -> None:
        dataset = load(ref)
        for samples in dataset.splits.values():
            assert samples.labels.dtype == np.int64
            assert set(samples.labels.tolist()) == set(range(len(dataset.class_names)))

    def test_images_in_memory_and_from_their_files_are_the_same(self, ref: DataRef) -> None:
        held, lazy = load(ref), load(replace(ref, memory_mb=0))
        assert held.fingerprint == lazy.fingerprint
        for split, samples in held.splits.items():
            fast = samples.dataset(preprocess_for(held))
            slow = lazy.splits[split].dataset(preprocess_for(held))
            assert fast.tensor is not None
            assert slow.tensor is None
            order = torch.arange(len(fast)).flip(0).split(7)
            for one, other in zip(fast.batches(order), slow.batches(order), strict=True):
                assert torch.equal(one[0], other[0])
                assert torch.equal(one[1], other[1])

    def test_items_batches_and_labels_agree(self, ref: DataRef) -> None:
        dataset = load(ref)
        images = dataset.splits["val"].dataset(preprocess_for(dataset))
        (batch, labels), *_ = images.batches([torch.tensor([3, 1])])
        assert batch.shape == (2, dataset.channels, 9, 9)
        assert (batch.dtype, labels.dtype) == (torch.uint8, torch.int64)
        assert torch.equal(batch[0], images[3][0])
        assert labels.tolist() == dataset.splits["val"].labels[[3, 1]].tolist()

    def test_an_equal_ref_gives_the_same_object(self, ref: DataRef) -> None:
        dataset = load(ref)
        assert load(pickle.loads(pickle.dumps(ref))) is dataset
        preprocess = preprocess_for(dataset)
        first, again = (dataset.splits["train"].dataset(preprocess).tensor for _ in range(2))
        assert first is again

    def test_another_split_seed_gives_another_split_of_the_same_size(self, ref: DataRef) -> None:
        first, other = load(ref), load(replace(ref, split_seed=1))
        assert first.fingerprint != other.fingerprint
        assert first.splits["train"].names != other.splits["train"].names
        for split, samples in first.splits.items():
            assert len(samples) == len(other.splits[split])

    def test_its_summary_is_json_and_counts_every_image(self, ref: DataRef) -> None:
        dataset = load(ref)
        summary = json.loads(json.dumps(dataset.summary()))
        for split, samples in dataset.splits.items():
            assert summary["splits"][split]["images"] == len(samples)
            assert sum(summary["splits"][split]["per_class"].values()) == len(samples)

    def test_the_channels_can_be_set(self, ref: DataRef) -> None:
        assert {load(replace(ref, channels=c, memory_mb=1)).channels for c in (1, 3)} == {1, 3}


def test_naming_a_reader_imports_no_torch() -> None:
    code = (
        "import sys; from trainers.data import READERS, DataRef; from trainers.data.named import "
        "DATASETS; print([m for m in ('torch', 'torchvision', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_unknown_reader_is_refused_with_the_nearest() -> None:
    with pytest.raises(DataError, match=r"'foldr'\. Did you mean 'folder'\? Known: digits"):
        load(replace(REF, reader="foldr"))


def test_the_digits_are_split_600_600_597_with_values_up_to_255() -> None:
    dataset = load(DIGITS)
    assert [len(samples) for samples in dataset.splits.values()] == [600, 600, 597]
    assert dataset.channels == 1
    images = dataset.splits["train"].dataset(preprocess_for(dataset, 8)).tensor
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
        images = dataset.splits["test"].dataset(preprocess_for(dataset, 28)).tensor
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
