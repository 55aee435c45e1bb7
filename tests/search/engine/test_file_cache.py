"""Folders that were sent to a machine stay there as long as there is room."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from archfront.search.engine.file_cache import FileCache
from archfront.search.errors import ConfigError
from tests.support.file_nodes import GB, Node, content, delivered, drawn_folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a folder to send."""
    return drawn_folder(tmp_path / "data")


class TestRoom:
    def test_what_was_not_used_for_longest_leaves(self, tmp_path: Path) -> None:
        sources = []
        for n in range(3):
            source = tmp_path / f"data{n}"
            source.mkdir()
            (source / "own").write_bytes(bytes([n]) * 400)
            (source / "common").write_bytes(b"c" * 100)
            sources.append(source)
        for n, source in enumerate(sources):
            node = Node(tmp_path / "home", limit_bytes=1000)
            delivered(node, source)
            node.files.close()
            for lock in (tmp_path / "home" / "locks").iterdir():  # as if it was an hour ago
                state = lock.stat()
                os.utime(lock, (state.st_atime - 3600, state.st_mtime - 3600))
            assert len(list((tmp_path / "home" / "trees").iterdir())) == min(n + 1, 2)
        node = Node(tmp_path / "home", limit_bytes=1000)
        assert delivered(node, sources[1]) == []
        assert delivered(node, sources[0])[-1] == (4e-4, 4e-4)
        node.files.close()

    def test_what_another_agent_uses_stays(self, tmp_path: Path, data: Path) -> None:
        user = Node(tmp_path / "home", limit_bytes=GB)
        delivered(user, data)
        other = tmp_path / "other"
        other.mkdir()
        (other / "a").write_bytes(os.urandom(100))
        small = Node(tmp_path / "home", limit_bytes=1000)
        with pytest.raises(ConfigError, match=r"^engine.files: 1e-07 GB of files are to be sent"):
            delivered(small, other)
        assert content(user.folder) == content(data)
        user.files.close()
        delivered(small, other)
        small.files.close()

    def test_a_folder_that_never_fits_is_told(self, tmp_path: Path, data: Path) -> None:
        node = Node(tmp_path / "home", limit_bytes=1000)
        with pytest.raises(ConfigError, match=r"files_gb: the files take 0.0126 GB, and 1e-06 GB"):
            delivered(node, data)
        node.files.close()

    def test_the_work_of_a_dead_agent_is_swept(self, tmp_path: Path) -> None:
        dead = FileCache(tmp_path, GB)
        (dead.work / "state.pt").touch()
        dead._work_lock.close()  # as its process ended
        living = FileCache(tmp_path, GB)
        another = FileCache(tmp_path, GB)
        assert not dead.work.exists()
        assert living.work.exists()
        living.close()
        another.close()
        assert list((tmp_path / "work").iterdir()) == []
