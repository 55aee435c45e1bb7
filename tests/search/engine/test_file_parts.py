from __future__ import annotations

from pathlib import Path

from archfront.search.engine.file_parts import Inbox, packs_of
from archfront.search.engine.node_files import entry_of


def test_packs_are_bounded(tmp_path: Path) -> None:
    sizes = [3, 2, 4, 11, 0, 10, 1, 25]
    for n, size in enumerate(sizes):
        (tmp_path / str(n)).write_bytes(bytes(range(size)))
    files = [(tmp_path / str(n), entry_of(tmp_path / str(n), tmp_path)) for n in range(len(sizes))]
    packs = list(packs_of(files, 10))
    assert max(sum(len(part.content) for part in pack) for pack in packs) == 10
    found: dict[str, bytes] = {}
    for part in (part for pack in packs for part in pack):
        assert part.offset == len(found.get(part.digest, b""))
        found[part.digest] = found.get(part.digest, b"") + part.content
    assert set(found.values()) == {bytes(range(size)) for size in sizes}
    assert [pack[0].is_last for pack in packs if pack[0].n_bytes > 10] == [
        *(False, True),
        *(False, False, True),
    ]


def test_an_inbox_takes_parts_in_any_order(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(range(25)))
    entry = entry_of(tmp_path / "a", tmp_path)
    inbox = Inbox(tmp_path / "in")
    for pack in reversed(list(packs_of([(tmp_path / "a", entry)], 10))):
        assert inbox.receive(pack[0]) is None
    assert inbox.seal(entry.digest).read_bytes() == bytes(range(25))
