"""What a request may ask of a study, and all that is wrong with it at once."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from archfront.search.config import compose
from archfront.search.config.build import build, options
from archfront.search.config.compose import GROUPS
from archfront.search.errors import ConfigError
from archfront.search.service.permitted_options import (
    ONLY,
    PLACES,
    REFUSED,
    option_problem,
    refusal_of,
)
from archfront.search.service.service_settings import ServiceSettings
from archfront.search.service.study_requests import asked_study, changed_study
from tests.support.drawn_images import draw_folder

DIGITS = {"experiment": "digits"}


@pytest.fixture
def settings(tmp_path: Path) -> ServiceSettings:
    for folder in ("data/flowers", "secret", "root/datasets"):
        (tmp_path / folder).mkdir(parents=True)
    return ServiceSettings(root=tmp_path / "root", data_roots=(tmp_path / "data",))


def problems(settings: ServiceSettings, options: dict[str, Any], **choices: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        asked_study(settings, "flowers", {**DIGITS, **choices}, options)
    return list(caught.value.problems)


class TestTables:
    def test_every_option_is_refused_a_place_or_free_of_paths_and_hosts(self) -> None:
        """A new option with a path or a URL has to be put into one of the tables."""
        free = [
            path
            for path, kind, meaning in options()
            if refusal_of(path) is None and path not in PLACES
            if re.search(r"\b(a path|URL|folder|file|download\w*|root)\b", f"{kind} {meaning}")
        ]
        # Their meanings tell of files, and their values name none.
        assert free == ["data.reader", "data.group", "hardware.limits.size_mb"]

    def test_the_tables_name_options_that_there_are(self) -> None:
        known = {path for path, _, _ in options()}
        assert {*PLACES, *ONLY} <= known
        assert set(REFUSED) <= known | set(GROUPS)

    def test_every_option_that_is_refused_says_why(self, settings: ServiceSettings) -> None:
        for path, _, _ in options():
            reason = refusal_of(path)
            assert (option_problem(settings, path, None) is None) == (reason is None)
            if reason is not None:
                found = problems(settings, {path: "x"})
                assert found == [f"{path}: a request cannot set it, since {reason}. Leave it out."]


class TestRequest:
    def test_a_good_one_gives_the_configuration_of_the_equal_command(
        self, settings: ServiceSettings
    ) -> None:
        options = {
            "hardware.limits.latency_ms": None,
            "space": {"backbones": ["test_resnet", "resnet10t"], "recipe": {"lr": [0.01]}},
            "budget.minutes": 2.5,
        }
        found = asked_study(settings, "flowers", DIGITS, options)
        assert found.config.space.backbones == ("test_resnet", "resnet10t")
        assert found.config.tracking.root == str(settings.root)
        words = shlex.split(found.command)
        assert words[:2] == ["archfront", "run"]
        composed = compose.compose(words[2:])
        assert build(composed.content, texts=composed.texts) == found.config

    def test_every_problem_is_told_at_once(self, settings: ServiceSettings) -> None:
        found = problems(
            settings,
            {
                "budget.minutes": -1,
                "budget.minuts": 3,
                "task.epochs": "many",
                "tracking.root": "/etc",
                "data.root": str(settings.root.parent / "secret"),
                "study=x tracking.root": "/etc",
                "space": "small",
            },
            sampler="fronnt",
            nothing="x",
            tracking="local",
        )
        starts = [re.split(r"[:=]", text)[0].strip("'") for text in found]
        assert starts == [
            "sampler",
            "nothing",
            "tracking",
            "tracking.root",
            "data.root",
            "study",
            "space",
            "task.epochs",
            "budget.minuts",
            "budget.minutes",
        ]

    @pytest.mark.parametrize("name", ["../x", "", " ", "a/b", "x" * 61, "a\nb", ".", "a\0b"])
    def test_a_name_is_that_of_a_folder(self, settings: ServiceSettings, name: str) -> None:
        with pytest.raises(ConfigError, match=r"^name: ") as caught:
            asked_study(settings, name, DIGITS, {})
        assert len(caught.value.problems) == 1

    @pytest.mark.parametrize(
        "path",
        ["/secret", "/data/out", "/data/../secret", "/root", "/root/service", "/no", "~", "x"],
    )
    def test_data_lies_in_its_folders(
        self, settings: ServiceSettings, tmp_path: Path, path: str
    ) -> None:
        (tmp_path / "data/out").symlink_to(tmp_path / "secret")
        value = f"{tmp_path}{path}" if path.startswith("/") else path
        for option in PLACES:
            (found,) = problems(settings, {option: value})
            assert found.startswith(f"{option}: such a path may lie within {tmp_path / 'data'}")

    def test_data_has_to_be_there(self, settings: ServiceSettings, tmp_path: Path) -> None:
        for option in PLACES:
            (found,) = problems(settings, {option: str(tmp_path / "data/roses")})
            assert found.startswith(f"{option}: there is nothing at ")

    def test_data_that_may_be_named_is_taken(
        self, settings: ServiceSettings, tmp_path: Path
    ) -> None:
        draw_folder(tmp_path / "data/flowers", {"rose": 2, "tulip": 2})
        asked = asked_study(
            settings, "flowers", {"data": "auto"}, {"data.root": str(tmp_path / "data/flowers")}
        )
        assert asked.config.data.root == str(tmp_path / "data/flowers")
        assert asked.notes

    def test_a_group_among_the_options_is_one_problem(self, settings: ServiceSettings) -> None:
        (found,) = problems(settings, {"task": "classification", "budget.minutes": 3})
        assert found.startswith('task: a group is chosen in choices, as "choices": {"task": "cl')
        (found,) = problems(settings, {"tracking": "local"})
        assert found.startswith("tracking: a request cannot set it")
        (found,) = problems(settings, {}, **{"budget.minutes": "3"})
        assert found == "budget.minutes: an option is given in options, not in choices."

    def test_every_name_of_data_is_known(self, settings: ServiceSettings) -> None:
        (found,) = problems(settings, {}, data="zip")
        assert "auto, " in found

    def test_uploads_are_data_and_no_weights(
        self, settings: ServiceSettings, tmp_path: Path
    ) -> None:
        upload = tmp_path / "root/datasets/mine"
        upload.mkdir()
        assert option_problem(settings, "data.root", str(upload)) is None
        assert option_problem(settings, "space.weights", str(upload)) is not None
        assert option_problem(settings, "space.weights", str(tmp_path / "data")) is None
        for word in ("none", "pretrained"):
            assert option_problem(settings, "space.weights", word) is None
        assert option_problem(settings, "data.root", "a\0b") is not None
        for value, is_name in (("roses", True), ("3", True), ("../roses", False)):
            said = option_problem(settings, "data.root", value)
            assert said is not None
            assert ("/api/v1/datasets has the roots of datasets" in said) == is_name

    def test_files_of_torchvision_are_those_of_the_server(
        self, settings: ServiceSettings, tmp_path: Path
    ) -> None:
        """Some of its datasets are pickles, which run what they say."""
        given = {"data.name": "CIFAR10", "data.root": str(tmp_path / "root/datasets")}
        (found,) = problems(settings, given, data="torchvision")
        assert found.startswith("data.root: such a path may lie within")
        for good in ({"data.name": "CIFAR10"}, {**given, "data.root": str(tmp_path / "data")}):
            asked_study(settings, "flowers", {"data": "torchvision"}, good)

    def test_threads_of_a_study_are_those_of_the_server(self, tmp_path: Path) -> None:
        settings = ServiceSettings(root=tmp_path, study_threads=4)
        threads = {"engine": "processes"}
        two = {"engine.workers": 2, "engine.threads": None}
        asked = asked_study(settings, "flowers", {**DIGITS, **threads}, two)
        assert (asked.config.engine.workers, asked.config.engine.threads) == (2, 2)
        (found,) = problems(settings, {"engine.threads": 8})
        assert found.startswith("engine.threads: this server gives a study 4 threads; got 1")

    @pytest.mark.parametrize(
        ("engine", "option", "given"),
        [("ray", "address", "10.0.0.1:6379"), ("submitit", "account", "somebody's")],
    )
    def test_no_request_names_a_cluster_to_join(
        self, settings: ServiceSettings, engine: str, option: str, given: str
    ) -> None:
        (found,) = problems(settings, {f"engine.{option}": given}, engine=engine)
        said = f"engine: this server runs studies on its own machine; got {engine}."
        assert found.startswith(said)

    def test_a_changed_study_is_asked_as_strictly(
        self, settings: ServiceSettings, tmp_path: Path
    ) -> None:
        content = asked_study(settings, "first", DIGITS, {}).config.as_dict()
        new = changed_study(settings, content, "second", {"budget.trials": 3})
        assert (new.study, new.budget.trials) == ("second", 3)
        content["data"] |= {"outside_root": "allow", "root": str(tmp_path / "secret")}
        with pytest.raises(ConfigError) as caught:
            changed_study(settings, content, "third", {"study": "x"})
        assert [text.split(":")[0] for text in caught.value.problems] == [
            "study",
            "data.outside_root",
            "data.root",
        ]
