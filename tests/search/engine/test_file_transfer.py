"""Files go to a node and come back, whatever carries the calls; here nothing does."""

from __future__ import annotations

import errno
import os
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

from archfront.search.engine.file_parts import PACK_BYTES, Entry, Part, packs_of
from archfront.search.engine.file_sets import Outline
from archfront.search.engine.file_transfer import (
    Arrived,
    bring,
    first_of_each,
    inputs_of,
    send,
)
from archfront.search.engine.in_flight import JobsInFlight
from archfront.search.engine.jobs import Broken, Done, Job
from archfront.search.engine.node_agent import NodeAgent
from archfront.search.engine.node_files import FilesSetup, NodeFiles, entry_of
from archfront.search.engine.tasks import Task
from archfront.search.errors import DamagedError, DataError
from archfront.trainers.sums import SUMS
from tests.support.file_nodes import GB, Node, content, delivered, drawn_folder, sets_of


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a folder to send."""
    return drawn_folder(tmp_path / "data")


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(tmp_path / "home")
    yield node
    node.files.close()


class TestFailuresOfTheNode:
    """None of them is the candidate's, which would have been recorded as failed."""

    def test_a_job_whose_files_are_not_at_its_node_fails_by_the_machine(
        self, tmp_path: Path
    ) -> None:
        agent, setup = NodeAgent(), FilesSetup(str(tmp_path / "root"), GB)
        agent._files = NodeFiles(setup, tmp_path / "home")
        agent.submit(1, pickle.dumps(Job("train", ())), (Entry("state", 5, "0" * 64),))
        (item,) = agent.poll(0, 0.0)
        result = pickle.loads(item.content)
        assert result.kind == "machine"
        assert result.message.startswith("The job cannot begin at its node: FileNotFoundError: ")
        agent.close()

    def test_what_a_job_wrote_and_has_no_place_fails_by_the_machine(self, tmp_path: Path) -> None:
        flights, task = JobsInFlight("pi"), Task.of(Job("train", ()), None)
        assert isinstance(task, Task)
        arrived = Arrived(((tmp_path / "gone.part", tmp_path / "gone"),))
        result = flights.end(flights.add(task), Done(1, 1.0), arrived.put)
        assert isinstance(result, Broken)
        assert (result.kind, result.node) == ("machine", "pi")


class TestFolders:
    def test_all_of_a_folder_comes_in_and_only_that(self, node: Node, data: Path) -> None:
        before = content(data)
        told = delivered(node, data)
        assert content(node.folder) == before
        n_mb = sum({value: len(value) for value in before.values()}.values()) / 1e6
        assert told[0] == (0.0, pytest.approx(n_mb))
        assert told[-1] == (pytest.approx(n_mb), pytest.approx(n_mb))
        assert told == sorted(set(told))

    def test_others_on_its_machine_see_nothing_of_it(self, node: Node, data: Path) -> None:
        delivered(node, data)
        assert node.home.stat().st_mode & 0o777 == 0o700

    def test_a_file_system_without_further_names_gets_copies(
        self, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The 65,001st empty file of labels could not be placed, and no node was used."""

        def refuse(*_: Path) -> None:
            raise OSError(errno.EMLINK, "Too many links")

        monkeypatch.setattr(os, "link", refuse)
        first = Node(tmp_path / "home")
        delivered(first, data)
        assert content(first.folder) == content(data)
        first.files.close()
        second = Node(tmp_path / "home")
        assert delivered(second, data) == []
        assert second.calls["place"] == 0
        second.files.close()

    def test_what_a_node_has_is_not_sent_again(self, data: Path, tmp_path: Path) -> None:
        first = Node(tmp_path / "home")
        delivered(first, data)
        first.files.close()
        second = Node(tmp_path / "home")
        assert delivered(second, data) == []
        assert second.calls["receive"] == second.calls["place"] == 0
        (data / "cats" / "new.png").write_bytes(b"new")
        third = Node(tmp_path / "home")
        assert delivered(third, data)[-1] == (3e-6, 3e-6)
        assert third.calls["receive"] == 1
        third.files.close()
        second.files.close()

    def test_a_node_that_comes_back_goes_on_where_it_was(self, data: Path, tmp_path: Path) -> None:
        lost = Node(tmp_path / "home")
        lost.failing["receive"] = 4
        with pytest.raises(ConnectionError, match="was lost in its call receive 4"):
            delivered(lost, data)
        assert not list((tmp_path / "home" / "trees").iterdir())
        again = Node(tmp_path / "home")  # the first one's lock is held: it was not closed
        delivered(again, data)
        assert content(again.folder) == content(data)
        assert lost.calls["receive"] + again.calls["receive"] < 2 * lost.calls["receive"]
        again.files.close()
        lost.files.close()

    def test_a_damaged_copy_is_sent_again(self, data: Path, tmp_path: Path) -> None:
        first = Node(tmp_path / "home")
        delivered(first, data)
        first.files.close()
        damaged = first.folder / "cats" / "5.png"
        damaged.chmod(0o644)
        damaged.write_bytes(b"another content of this size.."[:30])
        (first.folder / "cats" / "6.png").unlink()
        second = Node(tmp_path / "home")
        assert delivered(second, data)[-1] == (3e-5, 3e-5)
        assert content(second.folder) == content(data)
        second.files.close()

    def test_a_file_that_changed_since_is_told(self, node: Node, data: Path) -> None:
        sets = sets_of(data)
        sets.set_of(str(data))
        (data / "cats" / "7.png").write_bytes(b"PIXELS" * 7)
        with pytest.raises(DamagedError, match="came in with another content: it was changed"):
            delivered(node, data, sets)
        (data / "cats" / "7.png").write_bytes(b"")
        with pytest.raises(DamagedError, match=r"7\.png was changed while it was sent"):
            delivered(node, data, sets)

    def test_a_file_that_is_damaged_on_its_way_is_not_kept(self, node: Node, data: Path) -> None:
        receive = node.files.receive

        def damaging(whose: int, pack: list[Part]) -> None:
            receive(whose, [Part(p.digest, p.n_bytes, p.offset, p.content[::-1]) for p in pack])

        node.files.receive = damaging  # type: ignore[method-assign,assignment]
        with pytest.raises(DamagedError, match="or damaged on the way"):
            delivered(node, data)
        node.files.receive = receive  # type: ignore[method-assign]
        delivered(node, data)
        assert content(node.folder) == content(data)

    def test_links_are_followed_and_what_is_hidden_or_written_is_left_out(
        self, node: Node, data: Path, tmp_path: Path
    ) -> None:
        expected = content(data)
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "dog.png").write_bytes(b"dog")
        (data / "dogs").symlink_to(outside)
        (data / "one.png").symlink_to(outside / "dog.png")
        (data / "around").symlink_to(data)
        (data / "gone.png").symlink_to(outside / "not there")
        (data / ".hidden").write_bytes(b"hidden")
        (data / "studies").mkdir()
        (data / "studies" / "weights").write_bytes(b"large")
        os.mkfifo(data / "pipe")
        delivered(node, data, sets_of(data, without=data / "studies"))
        new = {"dogs/dog.png": b"dog", "one.png": b"dog"}
        assert content(node.folder) == expected | new
        assert not any(path.is_symlink() for path in node.folder.rglob("*"))

    def test_one_file_stands_for_itself(self, node: Node, data: Path) -> None:
        file = data / "cats" / "3.png"
        delivered(node, file)
        job = node.files.begin(1, Job("train", (str(file), str(data))), ())
        assert job.payload == (str(node.folder / "3.png"), str(data))
        assert (node.folder / "3.png").read_bytes() == file.read_bytes()

    def test_a_folder_that_is_read_otherwise_there_is_refused(
        self, node: Node, data: Path
    ) -> None:
        outline = Outline(_names, str(data))
        delivered(node, data, sets_of(data, outline=outline))
        (data / ".hidden").touch()
        with pytest.raises(DataError, match=r"are read as whole\.bin .* the driver as \.hid"):
            delivered(node, data, sets_of(data, outline=outline))


def _names(folder: str) -> str:
    return " ".join(sorted(os.listdir(folder), key=lambda name: (name[0] != ".", name == "cats")))


class TestJobs:
    """A job reads and writes below a root that its node does not see."""

    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        """Return a root with the state of a training and its checksum."""
        root = tmp_path / "root"
        below = root / "studies" / "s" / "trials" / "0"
        below.mkdir(parents=True)
        (below / "resume.pt").write_bytes(os.urandom(PACK_BYTES + 1))
        (below / "weights").write_bytes((below / "resume.pt").read_bytes())
        (below / SUMS).write_text("sums")
        (root / "studies" / "s" / "other").write_text("of no job")
        return root

    @pytest.fixture
    def node(self, tmp_path: Path, root: Path) -> Iterator[Node]:
        node = Node(tmp_path / "home", root)
        yield node
        node.files.close()

    def begun(self, node: Node, root: Path, number: int = 7) -> tuple[Path, ...]:
        """Begin a job that goes on from two states, and return its paths there."""
        below = root / "studies" / "s" / "trials" / "0"
        payload = (below / "resume.pt", below / "weights", below.with_name("1"), str(root))
        given = inputs_of(payload, root)
        send(node, number, first_of_each(given))
        job = node.files.begin(number, Job("train", payload), [entry for _, entry in given])
        return tuple(Path(path) for path in job.payload)

    def test_what_it_reads_comes_with_it(self, node: Node, root: Path) -> None:
        resume, weights, folder, there = self.begun(node, root)
        assert not there.is_relative_to(root)
        assert content(there).keys() == {
            f"studies/s/trials/0/{name}" for name in ("resume.pt", "weights", SUMS)
        }
        assert resume.read_bytes() == weights.read_bytes()
        assert resume.read_bytes() == (root / resume.relative_to(there)).read_bytes()
        assert folder == there / "studies" / "s" / "trials" / "1"
        assert node.calls["receive"] == 3  # equal files once: two parts, and the sums

    def test_what_it_wrote_comes_back_whole_and_unseen_until_then(
        self, node: Node, root: Path
    ) -> None:
        before = content(root)
        _, _, folder, there = self.begun(node, root)
        folder.mkdir()
        written = {"large": os.urandom(PACK_BYTES + 3), "empty": b"", "small": b"abc"}
        for name, value in written.items():
            (folder / name).write_bytes(value)
        (folder / "link").symlink_to("/etc/passwd")
        sums = there / "studies" / "s" / "trials" / "0" / SUMS
        sums.write_text("more sums")
        result, entries = node.files.end(7, Done({"file": folder / "small"}, 1.0))
        place = root / "studies" / "s" / "trials" / "1"
        assert result == Done({"file": place / "small"}, 1.0)
        arrived = bring(node, 7, entries, root)
        visible = {path: v for path, v in content(root).items() if not path.endswith(".part")}
        assert visible == before
        arrived.put()
        now = {f"studies/s/trials/1/{name}": value for name, value in written.items()}
        assert content(root) == before | now | {f"studies/s/trials/0/{SUMS}": b"more sums"}
        node.files.release(7)
        assert not there.exists()

    def test_what_nobody_waits_for_leaves_nothing(self, node: Node, root: Path) -> None:
        before = content(root)
        _, _, folder, _ = self.begun(node, root)
        folder.mkdir()
        (folder / "predictions").write_bytes(b"abc")
        _, entries = node.files.end(7, Done(None, 1.0))
        bring(node, 7, entries, root).drop()
        assert content(root) == before
        assert not (root / "studies" / "s" / "trials" / "1").exists()
        node.failing["read"] = 2
        with pytest.raises(ConnectionError, match="was lost in its call read 2"):
            bring(node, 7, entries, root)
        assert content(root) == before

    def test_a_file_that_comes_back_damaged_is_not_put(self, node: Node, root: Path) -> None:
        before = content(root)
        _, _, folder, _ = self.begun(node, root)
        folder.mkdir()
        (folder / "predictions").write_bytes(b"abc")
        _, entries = node.files.end(7, Done(None, 1.0))
        (folder / "predictions").write_bytes(b"abd")
        with pytest.raises(DamagedError, match="came back with another content"):
            bring(node, 7, entries, root)
        assert content(root) == before

    @pytest.mark.parametrize("path", ["../escape", "/etc/passwd", "a/../../b", "", "a\0b"])
    def test_a_path_out_of_the_root_is_refused(self, node: Node, root: Path, path: str) -> None:
        entry = Entry(path, 1, "0" * 64)
        with pytest.raises(DamagedError, match="which leaves its folder"):
            bring(node, 7, [entry], root)
        with pytest.raises(DamagedError, match="which leaves its folder"):
            node.files.place("0", [entry], True)
        assert not (root.parent / "escape").exists()

    def test_a_failure_names_the_drivers_paths_and_leaves_nothing(
        self, node: Node, root: Path
    ) -> None:
        resume, _, folder, there = self.begun(node, root)
        folder.mkdir()
        (folder / "predictions").touch()
        failed, entries = node.files.end(7, Broken("crash", f"{resume} is damaged.", 1.0))
        assert isinstance(failed, Broken)
        assert failed.message == f"{root / resume.relative_to(there)} is damaged."
        assert entries == ()
        assert not there.exists()

    def test_a_job_without_files_is_like_any_other(self, node: Node) -> None:
        job = Job("train", ("echo", 1))
        assert node.files.begin(1, job, ()) == job
        assert node.files.end(1, Done(2, 1.0)) == (Done(2, 1.0), ())

    def test_calls_may_come_twice(self, node: Node, root: Path) -> None:
        file = root / "studies" / "s" / "trials" / "0" / "resume.pt"
        entry = entry_of(file, root)
        for whose in (0, 3):
            for _ in range(2):
                for pack in packs_of([(file, entry)]):
                    node("receive", whose, pack)
            node("seal", whose, entry.digest)
            node("seal", whose, entry.digest)
        assert node("lacks", "x", [entry]) == ([], False)
        node("begin", 3, Job("train", str(file)), [entry])
        node("release", 3)
        node("release", 3)
