"""The words of the commands that requests to the service become."""

from __future__ import annotations

import pytest

from archfront.search import cli
from archfront.search.service.work_answers import ExportRequest, RefitRequest, VariantsRequest


@pytest.mark.parametrize(
    "words",
    [
        RefitRequest().words("flowers"),
        RefitRequest(
            members=["knee", "3"], epochs=5, patience=2, distill=True, teaching=0.25
        ).words("flowers"),
        VariantsRequest().words("flowers"),
        VariantsRequest(runtimes=["openvino"], sizes=[32, 64], again=True).words("flowers"),
        ExportRequest().words("flowers", "/tmp/x"),
        ExportRequest(
            member="best", formats=["onnx", "hf"], batch=4, normalize_inside=True, proxy=True
        ).words("flowers", "/tmp/x"),
        ExportRequest(dynamic_batch=True, no_latency=True).words("flowers", "/tmp/x"),
    ],
)
def test_the_command_takes_them(words: list[str]) -> None:
    arguments, others = cli._parser(words[0]).parse_known_intermixed_args(words[1:])
    assert others == []
    assert arguments.study == "flowers"


def test_what_is_asked_comes_through() -> None:
    asked = RefitRequest(members=["knee", "3"], epochs=5, seeds=2, ema=0.5, distill=True)
    found = cli._parser("refit").parse_args(asked.words("flowers")[1:])
    assert (found.members, found.epochs, found.seeds) == ("knee,3", 5, 2)
    assert (found.ema, found.distill, found.patience) == (0.5, True, None)
