"""Jobs on a node that sees none of the driver's folders: their files go there and come back.

The node is in a mount namespace of its own, where an empty file system lies over the folders, so
what a job reads there by the driver's path is not there.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from archfront.search.engine.cluster_engine import ClusterEngine
from archfront.search.engine.file_parts import PACK_BYTES
from archfront.search.engine.file_sets import Outline
from archfront.search.engine.placement import ClusterNeeds
from archfront.search.engine.ray_check import check_cluster
from archfront.search.records.events import FilesSent, Noticed
from tests.support import engine_jobs
from tests.support.engine_checks import broken, is_running, measure, train, value
from tests.support.private_nodes import LABELS, PrivateNode
from tests.support.ray_cluster import LOOK_S
from tests.support.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray")]


def needs_of(node: PrivateNode, **others: Any) -> ClusterNeeds:
    """Return what a study asks whose folders the node does not see."""
    return ClusterNeeds(
        **{
            "address": node.address,
            "shared": str(node.root),
            "read": (str(node.data),),
            "device_label": LABELS,
            "look_s": LOOK_S,
        }
        | others
    )


def opened(
    node: PrivateNode,
    emit: Callable[[Any], None],
    **others: Any,
) -> ClusterEngine:
    needs = needs_of(node, **{"labels": LABELS} | others)
    return ClusterEngine(engine_jobs.perform, workers=1, threads=1, needs=needs, emit=emit)


@pytest.fixture
def root(private_node: PrivateNode) -> Path:
    """Return the folder that jobs write to, with a file that they read."""
    private_node.root.mkdir(exist_ok=True)
    (private_node.root / "state").write_text("the state, ")
    return private_node.root


def test_a_job_reads_what_was_sent_and_its_files_come_back(
    private_node: PrivateNode, root: Path
) -> None:
    events: list[Any] = []
    own = private_node.data / "own"
    own.mkdir()
    (own / "image").write_text(f"the image {own}")  # no other test has sent it
    outline = Outline(engine_jobs.size_of, str(own / "image"))
    with opened(private_node, events.append, outline=outline, read=(str(own),)) as engine:
        for job in (train, measure):
            place = root / f"{job.__name__}ed" / "both"
            given = ("copy", str(root / "state"), str(own / "image"), str(place))
            found, where = value(engine.submit(job(*given)))
            assert found == str(place)
            assert place.read_text() == f"the state, the image {own}"
            assert where.removeprefix("here ").startswith(str(private_node.home))
        failed = broken(engine.submit(train("copy", str(root / "gone"), "", str(root / "x"))))
        assert str(root / "gone") in failed.message
        assert not (root / "x").exists()
        assert not list(root.rglob("*.part"))
        assert private_node.work() == []
    told = [event for event in events if isinstance(event, FilesSent)]
    assert [(told[0].mb, told[-1].mb)] == [(0.0, told[-1].of_mb)]
    said = "\n".join(event.message for event in events if isinstance(event, Noticed))
    assert f"gets {own} (1 file, " in said
    assert "what its jobs write is brought back" in said
    again: list[Any] = []
    with opened(private_node, again.append, read=(str(own),)) as engine:
        assert value(engine.submit(train("echo", str(root)))) == str(root)
    assert not [event for event in again if isinstance(event, FilesSent)]


def test_a_node_that_dies_while_it_gets_files_gets_the_rest_when_it_is_back(
    private_node: PrivateNode, root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own, pid = private_node.data / "many", private_node.home / "pid"
    own.mkdir()
    for n in range(12):
        (own / f"{n}").write_bytes(os.urandom(PACK_BYTES))
    (own / "large").write_text("pixels" * PACK_BYTES)
    killed: list[int] = []

    def kill(event: Any) -> None:
        if isinstance(event, FilesSent) and not killed:
            killed.append(int(pid.read_text()))
            os.kill(killed[0], signal.SIGKILL)

    describe = partial(engine_jobs.noted_process, str(pid))
    with opened(private_node, kill, read=(str(own),), describe=describe, waits=True) as engine:
        place = root / "after"
        given = ("copy", str(root / "state"), str(own / "large"), str(place))
        value(engine.submit(train(*given)))
        assert place.read_text() == "the state, " + "pixels" * PACK_BYTES
        assert killed != [int(pid.read_text())]
        said = [line for line in caplog.messages if "is not used: " in line]
        assert len(said) == 1, caplog.text
        assert " is used again." in caplog.text
        assert private_node.work() == []
    work = private_node.home / "cache" / "archfront" / "sent" / "work"
    eventually(lambda: not list(work.iterdir()))


def test_a_lost_job_leaves_nothing_and_is_done_once_when_its_node_is_back(
    sending_engine: Callable[[], ClusterEngine], private_node: PrivateNode, root: Path
) -> None:
    engine, pids = sending_engine(), list[int]()
    future = engine.submit(train("write and hang", str(root / "half")), pids.append)
    eventually(lambda: pids)
    agent = engine_jobs.parent_of(pids[0])
    os.kill(agent, signal.SIGKILL)
    assert broken(future).kind == "killed"
    assert not (root / "half").exists()
    eventually(lambda: not is_running(pids[0]))
    given = ("copy", str(root / "state"), str(private_node.data / "image"), str(root / "whole"))
    found, _ = value(engine.submit(train(*given)))
    assert Path(found).read_text() == "the state, the image"
    assert not (root / "half").exists()


def test_a_check_says_who_gets_files(private_node: PrivateNode, root: Path) -> None:
    image = private_node.data / "image"
    asked = needs_of(private_node, read=(str(image),))
    found, problems = check_cluster(asked, workers=1, threads=1)
    notes = {bool(answer.node.labels.get("pool")): answer.notes for answer in found}
    assert notes[False] == ()
    gets, back = notes[True]
    assert gets == f"gets {image}: 1 file, 9e-06 MB, less what it has"
    assert back == f"what its jobs write is brought back to {root}"
    shared, problems = check_cluster(needs_of(private_node, files="shared"), workers=1, threads=1)
    assert [p for a in shared for p in a.problems if "does not see" in p]
    assert problems
