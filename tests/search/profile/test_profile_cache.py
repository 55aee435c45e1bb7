"""Profiles that are remembered, until something changes that decides them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from archfront.search.profile import profile_cache
from archfront.search.profile.profile_cache import ProfileCache, fingerprint, profile_of
from archfront.trainers.data import DataRef
from tests.support.drawn_images import REF
from tests.support.small_profile import small_profile
from tests.support.textured_images import clean_folder, save, textured


def test_the_second_profile_looks_at_no_image(tmp_path: Path) -> None:
    ref, cache = clean_folder(tmp_path / "data", n=5), ProfileCache(tmp_path / "cache")
    done: list[int] = []
    first = profile_of(ref, "classification", "data", cache, lambda n, _: done.append(n))
    assert len(done) == 10
    again = profile_of(ref, "classification", "data", cache, lambda n, _: done.append(n))
    assert len(done) == 10
    assert again == first


def _rewrite(root: Path) -> None:
    save(root / "a/000.png", textured(99))


def _touch(root: Path) -> None:
    os.utime(root / "a/000.png", (1, 1))


def _add(root: Path) -> None:
    save(root / "a/100.png", textured(99))


def _remove(root: Path) -> None:
    (root / "a/000.png").unlink()


def _move(root: Path) -> None:
    (root / "a/000.png").rename(root / "b/100.png")


@pytest.mark.parametrize("change", [_rewrite, _touch, _add, _remove, _move])
def test_a_changed_file_changes_the_fingerprint(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    ref = clean_folder(tmp_path, n=3)
    before = fingerprint(ref)
    assert fingerprint(ref) == before
    change(tmp_path)
    assert fingerprint(ref) != before


def test_images_behind_links_change_the_fingerprint(tmp_path: Path) -> None:
    clean_folder(tmp_path / "elsewhere", n=3)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a").symlink_to(tmp_path / "elsewhere/a")
    (tmp_path / "data/b").symlink_to(tmp_path / "elsewhere/b")
    ref = replace(REF, root=str(tmp_path / "data"), outside_root="allow")
    before = fingerprint(ref)
    assert fingerprint(ref) == before
    save(tmp_path / "elsewhere/a/000.png", textured(99))
    assert fingerprint(ref) != before


def test_options_that_decide_the_split_change_the_fingerprint(tmp_path: Path) -> None:
    ref = clean_folder(tmp_path, n=3)

    def of(changed: DataRef) -> str:
        return fingerprint(changed)

    assert of(replace(ref, split_seed=1)) != of(ref)
    assert of(replace(ref, train=0.6, val=0.2, test=0.2)) != of(ref)
    assert of(replace(ref, memory_mb=1, on_error="skip", shared="somewhere")) == of(ref)


def test_options_of_what_is_drawn_change_the_fingerprint() -> None:
    ref = replace(REF, reader="shapes", target="boxes")
    other = replace(ref, shapes=replace(ref.shapes, seed=1))
    assert fingerprint(ref) != fingerprint(other)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"version": 1}', '"text"'])
def test_a_damaged_file_is_as_if_it_were_not_there(tmp_path: Path, content: str) -> None:
    cache, profile = ProfileCache(tmp_path), small_profile()
    cache.put(profile)
    assert cache.get(profile.fingerprint) == profile
    (tmp_path / f"{profile.fingerprint}.json").write_text(content)
    assert cache.get(profile.fingerprint) is None


def test_the_least_recently_used_profiles_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profile_cache, "KEPT", 2)
    cache = ProfileCache(tmp_path)
    for place, key in enumerate(("one", "two", "three")):
        cache.put(replace(small_profile(), fingerprint=key))
        if (tmp_path / f"{key}.json").exists():
            os.utime(tmp_path / f"{key}.json", (place, place))
    assert [cache.get(key) is not None for key in ("one", "two", "three")] == [False, True, True]


def test_a_folder_that_cannot_be_written_only_costs_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = ProfileCache(tmp_path / "file" / "profiles")
    cache.put(small_profile())
    assert cache.get(small_profile().fingerprint) is None
