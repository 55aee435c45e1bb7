"""The record of a profile: its codec, its derived numbers."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from archfront.search.errors import DataError
from archfront.search.profile.dataset_profile import VERSION, DatasetProfile, ObjectProfile
from archfront.search.profile.distribution import Distribution, Numbers
from archfront.search.profile.faults import Fault, ImageRef
from tests.support.small_profile import small_profile


def test_a_profile_comes_back_from_its_json() -> None:
    profile = small_profile()
    again = DatasetProfile.from_dict(json.loads(profile.as_json()))
    assert again == profile
    assert again.as_json() == profile.as_json()


def test_another_version_is_refused_with_what_to_do() -> None:
    content = {**small_profile().as_dict(), "version": 99}
    with pytest.raises(
        DataError, match=rf"version 99; this archfront reads version {VERSION}\. Make"
    ):
        DatasetProfile.from_dict(content)


def test_a_profile_with_a_field_of_another_type_is_refused() -> None:
    content = {**small_profile().as_dict(), "class_names": 3}
    with pytest.raises(DataError, match="cannot be read: class_names"):
        DatasetProfile.from_dict(content)


def test_objects_are_told_in_cells_of_the_finest_map() -> None:
    share, none = Numbers(), Distribution()
    share.add(0.02, 0.1, 0.1, 0.5)
    objects = ObjectProfile(none, none, share.distribution(), none, 0.0, 0.0, 0, {}, ())
    at = objects.at(320, 8)  # 40 cells a side, so that a cell is 0.025 of it
    assert (at.p10, at.p50, at.p90) == pytest.approx((0.8, 4, 20))
    assert at.under_a_cell == pytest.approx(0.25)


def test_meta_features_are_numbers_with_plain_names() -> None:
    fault = Fault("empty classes", 1, "One.", "Do.", ((ImageRef("train", "a"),),))
    found = replace(small_profile(), faults=(fault,)).meta_features()
    assert found["n_classes"] == 2
    assert found["n_train"] == 6
    assert found["n_faults"] == 1
    assert all(type(value) is float for value in found.values())
    assert all(name.isidentifier() for name in found)
