"""What is wrong with a field of a request."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from pydantic import Field, ValidationError

from archfront.search.service.bodies import Body, Name
from archfront.search.service.field_words import field_problem
from archfront.search.service.work_answers import ExportRequest


class Inner(Body):
    share: float = Field(gt=0, lt=1)


class Request(Body):
    name: Name = "flowers"
    epochs: int = Field(default=1, ge=1, le=20)
    inner: Inner = Inner(share=0.5)
    names: list[str] = Field(default=["a"], min_length=1, max_length=3)
    by_name: dict[str, int] = Field(default={})
    kind: Literal["read", "full"] = "read"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"epochs": "many"}, "a whole number is needed; got 'many'."),
        ({"epochs": 1.5}, "a whole number is needed; got 1.5."),
        ({"epochs": 0}, "at least 1 is needed; got 0."),
        ({"epochs": 21}, "at most 20 is needed; got 21."),
        ({"inner": {"share": 0}}, "more than 0 is needed; got 0."),
        ({"inner": {"share": 1}}, "less than 1 is needed; got 1."),
        ({"inner": {"share": "half"}}, "a number is needed; got 'half'."),
        ({"inner": {}}, "it is needed, and is not there."),
        ({"inner": 3}, "an object is needed; got 3."),
        ({"names": "a"}, "a list is needed; got 'a'."),
        ({"names": []}, "at least 1 entry is needed; got 0."),
        ({"names": ["a"] * 4}, "at most 3 entries are taken; got 4."),
        ({"names": [1]}, "a text is needed; got 1."),
        ({"by_name": []}, "an object is needed; got []."),
        ({"kind": "write"}, "'read' or 'full' is needed; got 'write'."),
        ({"name": ""}, "at least 1 character is needed; got ''."),
        ({"name": "-"}, "a name starts with a letter"),
        ({"name": "n" * 61}, "at most 60 characters are taken; got 'nnn"),
        ({"epoch": 3}, "there is no such field. The fields of the request: /api/v1/openapi.json."),
    ],
)
def test_it_says_what_was_got_and_what_is_allowed(content: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Request(**content)
    (error,) = caught.value.errors()
    assert field_problem(error).startswith(said)


def test_a_format_that_is_none_is_told_those_that_are() -> None:
    with pytest.raises(ValidationError) as caught:
        ExportRequest.model_validate({"formats": ["onxx"], "proxy": "perhaps"})
    assert [field_problem(error) for error in caught.value.errors()] == [
        "'onnx', 'onnx-int8', 'openvino', 'openvino-int8', 'torchscript', 'torch-export', 'hf' or "
        "'mlflow' is needed; got 'onxx'.",
        "true or false is needed; got 'perhaps'.",
    ]
