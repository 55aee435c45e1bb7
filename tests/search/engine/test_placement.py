from __future__ import annotations

import platform
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from archfront.search.engine.node_facts import (
    LIBRARIES,
    MARK,
    NodeFacts,
    Question,
    facts_of,
    mark_of,
    version_of,
    write_mark,
)
from archfront.search.engine.placement import (
    ClusterNeeds,
    FilesMode,
    Fit,
    device_to_measure,
    fit_of,
    nobody,
    waited_for,
)
from archfront.search.engine.ray_cluster import Node
from archfront.search.latency.key import MeasuringDevice

NODE = Node("a1", "pi", "10.0.0.2", 8.0, 2, 15.5, {"device": "pi5", "rack": "b"})
PI = MeasuringDevice("d1", "Cortex-A76, 4 cores", "1.32")
TV = MeasuringDevice("d2", "a TV", "1.32")
FACTS = NodeFacts(
    host="pi",
    machine="m",
    python=platform.python_version(),
    versions={name: version_of(name) for name in LIBRARIES},
    cores=8,
    memory_gb=16.0,
    free_memory_gb=10.0,
    free_disk_gb=100.0,
    clock=0.0,
    device=PI,
)


def fit(
    needs: ClusterNeeds | None = None,
    *,
    workers: int = 256,
    threads: int = 1,
    device: object = PI,
    facts: NodeFacts = FACTS,
) -> Fit:
    return fit_of(
        NODE, facts, needs or ClusterNeeds(), workers=workers, threads=threads, device=device
    )


@pytest.mark.parametrize(
    ("needs", "workers", "threads", "slots"),
    [
        (ClusterNeeds(), 256, 1, 8),
        (ClusterNeeds(), 3, 1, 3),
        (ClusterNeeds(), 256, 3, 2),
        (ClusterNeeds(memory_gb=4), 256, 1, 3),
        (ClusterNeeds(gpus=1), 256, 1, 2),
        (ClusterNeeds(gpus=2), 256, 1, 1),
        (ClusterNeeds(gpus=1 / 3), 256, 1, 6),
        (ClusterNeeds(gpus=0.25), 3, 1, 3),
        (ClusterNeeds(gpus=0.25), 256, 2, 4),
        (ClusterNeeds(labels={"device": "pi5", "rack": "b"}), 256, 1, 8),
    ],
)
def test_a_node_trains_as_much_as_its_scarcest_part_allows(
    needs: ClusterNeeds, workers: int, threads: int, slots: int
) -> None:
    found = fit(needs, workers=workers, threads=threads)
    assert (found.slots, found.measures, str(found)) == (slots, True, "")


@pytest.mark.parametrize(
    ("needs", "threads", "said"),
    [
        (ClusterNeeds(), 9, "it gives 8 cores, a training takes 9 threads"),
        (ClusterNeeds(memory_gb=16), 1, "it gives 15.5 GiB, a training takes 16"),
        (ClusterNeeds(gpus=3), 1, "it gives 2 GPUs, a training takes 3"),
        (
            ClusterNeeds(labels={"device": "pi4"}),
            1,
            "it has device=pi5, rack=b, not device=pi4",
        ),
    ],
)
def test_a_node_that_cannot_train_says_why(needs: ClusterNeeds, threads: int, said: str) -> None:
    found = fit(needs, threads=threads)
    assert (found.slots, str(found)) == (0, f"trains nothing: {said}")


@pytest.mark.parametrize(
    ("gpus", "each_gb", "has_gb", "slots", "said"),
    [
        (1, 20, 24, 2, ""),
        (1, 25, 24, 0, "its GPUs have 24.0 GiB, a training takes 25"),
        (0.25, 7, 24, 6, ""),  # three on each, whatever is allowed to
        (0.25, 5, 24, 8, ""),
        (0.25, 5, 0, 8, ""),  # not known
        (
            0.5,
            22,
            24,
            0,
            "its GPUs have 24.0 GiB, of which those that share one get 21.6, a training takes 22",
        ),
    ],
)
def test_no_more_trainings_share_a_gpu_than_its_memory_holds(
    gpus: float, each_gb: float, has_gb: float, slots: int, said: str
) -> None:
    needs = ClusterNeeds(gpus=gpus, gpu_memory_gb=each_gb)
    found = fit(needs, facts=replace(FACTS, gpu_memory_gb=has_gb))
    assert (found.slots, str(found)) == (slots, f"trains nothing: {said}" if said else "")
    n_gpus = f"{gpus:g} {'GPU' if gpus == 1 else 'GPUs'}"
    assert waited_for(needs, "train", None) == (
        f"It needs {n_gpus}, GPUs that hold {each_gb} GiB."
    )


def test_only_nodes_of_the_device_measure() -> None:
    said = (
        "measures nothing: its device is Cortex-A76, 4 cores, runtime 1.32, not a TV, runtime 1.32"
    )
    assert str(fit(device=TV)) == said
    assert fit(ClusterNeeds(device_label={"device": "pi5"})).measures
    elsewhere = fit(ClusterNeeds(device_label={"device": "tv"}))
    assert elsewhere.lack == "it has device=pi5, rack=b, not device=tv"
    newer = replace(FACTS, device=replace(PI, runtime_version="1.33"))
    assert not fit(facts=newer).measures  # another runtime times otherwise


def test_a_label_names_the_device_and_without_one_it_is_that_of_the_driver() -> None:
    found = [(NODE, FACTS), (replace(NODE, labels={"device": "tv"}), replace(FACTS, device=TV))]
    assert device_to_measure(found, ClusterNeeds(device_label={"device": "tv"})) == TV
    assert device_to_measure(found, ClusterNeeds(device_label={"device": "pi5"})) == PI
    assert device_to_measure(found, ClusterNeeds(describe=lambda: TV)) == TV
    assert (
        device_to_measure(found, ClusterNeeds(describe=lambda: PI, device_label={"a": "b"})) == PI
    )


def test_a_node_of_other_versions_or_folders_is_of_no_use() -> None:
    versions = {**FACTS.versions, "archfront": "9.9"}
    strange = replace(FACTS, python="2.7.18", versions=versions, unseen=("/data",))
    found = fit(ClusterNeeds(files="shared"), facts=strange)
    assert not found.is_of_use
    assert found.sent == ()
    assert str(found) == (
        f"has Python 2.7.18, the driver {platform.python_version()}; has archfront 9.9, the "
        f"driver {version_of('archfront')}; does not see /data: all nodes need it, by this path "
        "(engine.files=shared)"
    )


@pytest.mark.parametrize(
    ("files", "unseen", "sent"),
    [
        ("auto", (), ()),
        ("auto", ("/data",), ("/data",)),
        ("auto", ("/data", "/root"), ("/data", "/root")),
        ("sent", (), ("/data", "/root")),
        ("shared", (), ()),
    ],
)
def test_a_node_gets_the_files_that_it_does_not_see(
    files: FilesMode, unseen: tuple[str, ...], sent: tuple[str, ...]
) -> None:
    needs = ClusterNeeds(read=("/data",), shared="/root", files=files)
    assert needs.asked == (() if files == "sent" else ("/data", "/root"))
    found = fit(needs, facts=replace(FACTS, unseen=unseen))
    assert (found.is_of_use, found.sent) == (True, sent)
    without = replace(needs, labels={"pool": "none"})  # it only measures, which needs no images
    found = fit(without, facts=replace(FACTS, unseen=unseen))
    assert found.sent == tuple(path for path in sent if path == "/root")
    neither = replace(without, device_label={"device": "tv"})
    assert fit(neither, facts=replace(FACTS, unseen=unseen)).sent == ()


def test_what_no_node_can_do_is_said_with_the_reason_of_each() -> None:
    needs = ClusterNeeds(labels={"pool": "fast"}, device_label={"device": "tv"})
    trains, measures = nobody([(NODE, fit(needs)), (NODE, "no answer")], needs)
    nodes = (
        "  pi: trains nothing: it has device=pi5, rack=b, not pool=fast; measures nothing: it has "
        "device=pi5, rack=b, not device=tv\n"
        "  pi: no answer"
    )
    assert trains == f"engine: no node of the cluster can train. Its nodes:\n{nodes}"
    assert measures.startswith("engine: no node has the labels device=tv, so none can measure.")
    assert measures.endswith(f"The nodes:\n{nodes}")
    assert nobody([(NODE, fit())], ClusterNeeds()) == []
    assert nobody([], ClusterNeeds(trains=False, measures=False)) == []
    assert waited_for(needs, "train", None) == "It needs pool=fast."
    assert waited_for(needs, "measure", None) == "It needs device=tv."
    said = "It has to be of the device a TV, runtime 1.32."
    assert waited_for(ClusterNeeds(), "measure", TV) == said


def test_a_folder_is_known_by_its_mark_and_data_by_its_names(tmp_path: Path) -> None:
    root, data = tmp_path / "root", tmp_path / "data"
    write_mark(root)
    first = mark_of(str(root))
    assert mark_of(str(root)) == first == (root / MARK).read_text()
    copy = shutil.copytree(root, tmp_path / "copy")
    write_mark(root)
    assert mark_of(str(root)) != mark_of(str(copy)) == first
    data.mkdir()
    (data / "cat").mkdir()
    folders = {str(path): mark_of(str(path)) for path in (root, data)}
    assert facts_of(Question(folders)).unseen == ()
    (data / "dog").mkdir()
    (root / MARK).write_text("another")
    assert facts_of(Question(folders)).unseen == (str(root), str(data))
    assert mark_of(str(tmp_path / "nothing")) == ""
