"""The texts beside an export: what they say, and that no value in them changes the rest."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from html import unescape
from pathlib import Path
from typing import get_args

import pytest
from jinja2 import TemplateNotFound, UndefinedError
from markdown_it import MarkdownIt

from archfront.search.export.card import licence_note, model_card
from archfront.search.export.licences import licence_text
from archfront.search.export.rendering import TEMPLATES, code, docstring, literal, markdown, render
from archfront.search.export.snippets import snippet
from archfront.search.formats.formats import FORMATS
from archfront.search.predict.manifest import Artifact, Input, Manifest
from archfront.trainers.data.preprocess import Resize
from archfront.trainers.data.tiles import Tiling
from archfront.trainers.spec import Weights
from archfront.trainers.tasks import TASKS
from tests.support.described_export import (
    GOLDEN,
    artifact,
    config,
    evaluation,
    golden,
    manifest,
)

HOSTILE = [
    "it's",
    'say "hi"',
    "'\"",
    '"""\nimport os\nos.system("true")\n"""',
    '")\nraise SystemExit(7)\n("',
    "a\nb\r\nc",
    "back\\slash",
    "ends with a quote'",
    "ends with a backslash\\",
    '\\"',
    "{{ 7 * 7 }}{% raw %}{# gone #}",
    "a\u2028b\x85c\x00d",
    "not in UTF-8 \udc80",
    "naïve 花 🌼",
]
MARKDOWN = [
    "*bold* **bolder** _leaning_ __more__ snake_case _",
    "`code` ``more``",
    "[link](https://example.org) ![image](x.png)",
    "<script>alert(1)</script> <https://example.org>",
    "a | b \\| c",
    "~~gone~~",
    "&lt; &#42; AT&T",
    "\\*already escaped\\*",
    "1. first",
    "- item",
    "> quoted",
    "===",
    "-5 to +5",
    "2) second",
    "1.5 px",
    "# heading\n\n- list\n1. one\n> quote\n\n| a |\n|---|\n```\nfence",
    "in22k->in1k, 5 > 3 and 3 < 5",
]
PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])


@pytest.mark.parametrize("value", HOSTILE)
def test_a_literal_is_the_string_and_nothing_else(value: str) -> None:
    assert ast.literal_eval(literal(value)) == value
    assert literal(value).isprintable()
    assert ast.literal_eval(f'"""before {docstring(value)}"""') == f"before {value}"
    literal(value).encode("utf-8")


def test_a_literal_of_a_plain_name_has_double_quotes() -> None:
    assert literal("onnx/model.onnx") == '"onnx/model.onnx"'
    assert literal("it's") == '"it\'s"'


@pytest.mark.parametrize("value", [*HOSTILE[:-2], *MARKDOWN])
def test_markdown_shows_a_value_as_plain_text(value: str) -> None:
    """Rendered by another implementation of CommonMark."""
    shown = " ".join(part.strip() for part in value.splitlines() if part.strip())
    if "\0" not in value:  # which CommonMark replaces
        assert unescape(PARSER.renderInline(markdown(value))) == shown
        assert unescape(PARSER.renderInline(code(value))) == f"<code>{shown}</code>"
    row = f"| a | b |\n|---|---|\n| {markdown(value)} | end |\n"
    assert PARSER.render(row).count("<td>") == 2
    assert "<td>end</td>" in PARSER.render(row)


def test_what_markdown_does_not_read_stays_as_it_is() -> None:
    for value in ("resnet50_a1_in1k", "in22k->in1k", "space.exportable=[hf]", "60-20", "1.5 px"):
        assert markdown(value) == value


def programs() -> Iterator[tuple[Manifest, Artifact]]:
    """Yield every kind of program that an export may write."""
    for task in TASKS:
        for resize in get_args(Resize):
            of = manifest(task)
            of = replace(of, preprocess=replace(of.preprocess, resize=resize))
            for name in FORMATS:
                if name == "hf" and task not in ("classification", "multilabel"):
                    continue
                for dtype, batch in (("float32", 1), ("uint8", 4), ("float32", None)):
                    given = Input("images", dtype, batch, (3, 64, 64))
                    yield of, replace(artifact(name), input=given)


def test_texts_beside_a_network_of_tiles_say_what_cuts_images() -> None:
    of = manifest()
    of = replace(of, preprocess=replace(of.preprocess, tiling=Tiling(320, 0.25)))
    text = snippet(of, artifact("onnx"))
    said = ast.get_docstring(ast.parse(text))
    assert said is not None
    assert "tiles of 320 px" in said
    assert len(text.splitlines()) <= 40
    card = model_card(of, evaluation(), config())
    assert "cut into tiles of 320 px of the image with 25 % in common" in card
    assert "Tiles:" not in model_card(manifest(), evaluation(), config())


def test_a_card_has_the_whole_name_of_the_task() -> None:
    card = model_card(manifest("instance"), evaluation(), config())
    assert card.splitlines()[0].endswith("for instance segmentation: 3 classes")


@pytest.mark.parametrize("name", ["openvino", "openvino-int8"])
def test_a_program_of_openvino_computes_as_the_export_was_judged(name: str) -> None:
    """On processors with bf16 its scores were not those of ``archfront predict``."""
    text = snippet(manifest(), artifact(name))
    assert 'exact = {"INFERENCE_PRECISION_HINT": "f32"}' in text
    assert '"CPU", exact)' in text


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (Weights(), "first weights: none."),
        (Weights("pretrained", "a1_in1k"), "first weights: pretrained (a1_in1k)."),
        (Weights("folder", "in1k"), "first weights: those of a folder (in1k)."),
        (Weights("folder"), "first weights: those of a folder."),
    ],
)
def test_a_card_says_what_training_began_from(weights: Weights, said: str) -> None:
    one = evaluation()
    one = replace(one, candidate=replace(one.candidate, weights=weights))
    assert said in model_card(manifest(), one, config())


def test_every_program_is_short_valid_python() -> None:
    found = [snippet(*one) for one in programs()]
    assert len(found) > 300
    for text in found:
        ast.parse(text)
        assert len(text.splitlines()) <= 40
        assert text.endswith("\n")
        assert "{{" not in text


@pytest.mark.parametrize("name", ["torchscript", "torch-export", "mlflow"])
def test_a_program_checks_a_format_that_runs_code_before_it_is_opened(
    name: str, tmp_path: Path
) -> None:
    text = snippet(manifest("classification"), artifact(name))
    head, _, opens = text.partition("\nmodel = ")
    assert "Opening this format runs what is in it" in head
    assert "load" in opens
    heavy = ("import torch", "import mlflow", "import pandas")
    check = "\n".join(line for line in head.splitlines() if not line.startswith(heavy))
    about = manifest("classification").as_dict()
    files = {"a/model.pt": sha256(b"model").hexdigest()}
    about["artifacts"] = {name: {"files": files}}
    (tmp_path / "manifest.json").write_text(json.dumps(about))
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "model.pt").write_bytes(b"model")
    exec(check, {"__file__": str(tmp_path / "predict.py")})
    (tmp_path / "a" / "model.pt").write_bytes(b"other")
    with pytest.raises(SystemExit, match=r"^a/model\.pt is not the file that was exported"):
        exec(check, {"__file__": str(tmp_path / "predict.py")})


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("name", ["onnx", "openvino", "torchscript", "torch-export", "hf"])
def test_no_name_breaks_out_of_its_literal(name: str, value: str) -> None:
    """Names of files and formats come from a manifest, which anybody may have written."""
    of = manifest("classification")
    one = artifact(name)
    plain = ast.parse(snippet(of, replace(one, file="PLAIN", format="PLAIN")))
    text = snippet(of, replace(one, file=value, format=value))
    hostile = ast.parse(text.encode("utf-8"))
    names = [node.value for node in ast.walk(hostile) if isinstance(node, ast.Constant)]
    assert value in names
    assert masked(hostile) == masked(plain)


def masked(program: ast.Module) -> str:
    """Return the statements of a program without the text of its strings."""
    for node in ast.walk(program):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = ""
    return ast.dump(program)


@pytest.mark.parametrize("value", [*HOSTILE[:-3], *MARKDOWN])
def test_no_value_changes_the_outline_of_a_card(value: str) -> None:
    """An error of a library, several lines long, ended the table of the formats."""
    of = manifest()
    changed = replace(
        of,
        study=value,
        class_names=(value, value, value),
        failed={"hf": value},
        data={**of.data, "division": value},
        artifacts={"onnx": replace(artifact("onnx"), runtime=value, marks=(value,))},
    )
    calm = replace(changed, study="x", class_names=("x", "x", "x"), failed={"hf": "x"})
    calm = replace(
        calm,
        data={**of.data, "division": "x"},
        artifacts={"onnx": replace(artifact("onnx"), runtime="x", marks=("x",))},
    )
    of_value, of_plain = (outline(model_card(m, evaluation(), config())) for m in (changed, calm))
    assert of_value == of_plain
    assert outline(licence_note(replace(of, licence=value))) == outline(licence_note(of))


def outline(text: str) -> list[str]:
    """Return the elements of a Markdown document in their order, without its texts."""
    return [
        kind
        for token in PARSER.parse(text)
        for kind in (token.type, *(child.type for child in token.children or ()))
    ]


def test_a_card_marks_outputs_that_differ_by_several_spreads() -> None:
    made = replace(artifact("onnx"), parity=3.2, marks=())
    other = replace(artifact("openvino"), parity=0.3, marks=())
    whole = replace(manifest(), artifacts={"onnx": made, "openvino": other})
    card = model_card(whole, evaluation(), config())
    [line] = [line for line in card.splitlines() if line.startswith("| onnx ")]
    note = "outputs differ from PyTorch's by up to 3.2 times their spread"
    assert f"**marked**: {note}" in unescape(line)
    assert card.count("marked") == 1


def test_the_texts_are_those_that_were_kept() -> None:
    for name, text in golden().items():
        assert (GOLDEN / name).read_text(encoding="utf-8") == text


def test_the_note_on_licences_names_the_weights_and_their_licence() -> None:
    said = licence_text("resnet50", Weights("timm", "a1_in1k"))
    assert said.startswith("Fine-tuned from the timm weights a1_in1k of resnet50, whose license")
    assert "is given as: apache-2.0." in said
    assert "given as: unknown." in licence_text("resnet50", Weights("timm", "no_such_tag"))
    assert "given as: unknown." in licence_text("no_such_backbone", Weights("timm", "x"))
    drawn = "Trained from random weights: no license of pretrained weights applies."
    assert licence_text("resnet50", Weights()).startswith(drawn)


def test_a_template_that_lacks_a_value_or_is_not_there_fails() -> None:
    """With Jinja's own default a missing value is an empty text."""
    with pytest.raises(UndefinedError, match="'manifest' is undefined"):
        render("licences.md.j2")
    with pytest.raises(TemplateNotFound, match="programs/tflite"):
        snippet(manifest(), replace(artifact("onnx"), opener="tflite"))
    with pytest.raises(TemplateNotFound, match="answers/depth"):
        snippet(replace(manifest(), task="depth"), artifact("onnx"))


def test_every_template_has_a_part_of_a_text() -> None:
    """None is left over: each is rendered, extended or included by one that is."""
    tasks, resizes = set(TASKS), set(get_args(Resize))
    openers = {entry.opener for entry in FORMATS.values()} | {"mlflow", "torch"}
    expected = {
        *(f"programs/{opener}.py.j2" for opener in openers),
        *(f"resize/{resize}.py.j2" for resize in resizes),
        *(f"answers/{task}.py.j2" for task in tasks),
        *(f"answers/hf-{task}.py.j2" for task in ("classification", "multilabel")),
        *("program.py.j2", "opened.py.j2", "checked.py.j2"),
        *("card.md.j2", "licences.md.j2", "licence.txt.j2"),
    }
    found = {p.relative_to(TEMPLATES).as_posix() for p in TEMPLATES.rglob("*") if p.is_file()}
    assert found == expected
