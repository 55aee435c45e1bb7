"""Tables as spreadsheets, pandas, AutoML and Windows write them."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from archfront.trainers.data import DataRef, load
from archfront.trainers.data.raw import RawData
from archfront.trainers.data.targets import Labels
from archfront.trainers.errors import DataError
from tests.support.broken_datasets import read
from tests.support.drawn_images import REF, draw

FILES = tuple(f"img/{index}.png" for index in range(4))
LABELS = ("cat", "dog", "cat", "dog")


def images(root: Path, names: tuple[str, ...] = FILES) -> None:
    for index, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw(index)).save(root / name)


def table(root: Path, text: str, *, encoding: str = "utf-8", **options: Any) -> DataRef:
    (root / "labels.csv").write_bytes(text.encode(encoding))
    return replace(REF, **{"reader": "csv", "root": str(root), "target": "label", **options})


def rows(paths: tuple[str, ...], between: str = ",", end: str = "\n") -> str:
    lines = [f"{path}{between}{label}" for path, label in zip(paths, LABELS, strict=False)]
    return end.join([f"path{between}label", *lines, ""])


def labels_of(raw: RawData) -> dict[str, str]:
    """Return the label of each image by its name."""
    assert raw.broken == ()
    return {
        sample.name: raw.class_names[sample.target]
        for part in raw.parts.values()
        for sample in part
        if isinstance(sample.target, int)
    }


RIGHT = dict(zip(FILES, LABELS, strict=True))


class TestText:
    @pytest.mark.parametrize("between", [",", ";", "\t", "|"])
    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    def test_any_separator_and_line_end_is_read(
        self, tmp_path: Path, between: str, end: str
    ) -> None:
        images(tmp_path)
        assert labels_of(read(table(tmp_path, rows(FILES, between, end)))) == RIGHT

    @pytest.mark.parametrize(
        "encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
    )
    def test_unicode_of_any_width_is_read(self, tmp_path: Path, encoding: str) -> None:
        images(tmp_path)
        assert labels_of(read(table(tmp_path, rows(FILES), encoding=encoding))) == RIGHT

    def test_the_line_that_says_the_separator_is_no_row(self, tmp_path: Path) -> None:
        images(tmp_path)
        assert labels_of(read(table(tmp_path, "sep=;\n" + rows(FILES, ";")))) == RIGHT

    def test_commas_in_labels_do_not_decide_the_separator(self, tmp_path: Path) -> None:
        images(tmp_path)
        text = "path;label;a,b,c\n" + "".join(f"{f};big, red {c};1\n" for f, c in RIGHT.items())
        found = labels_of(read(table(tmp_path, text)))
        assert found == {file: f"big, red {label}" for file, label in RIGHT.items()}

    @pytest.mark.parametrize("encoding", ["cp1252", "cp1251", "gb18030"])
    def test_another_encoding_is_one_error_with_line_and_remedy(
        self, tmp_path: Path, encoding: str
    ) -> None:
        text = rows(FILES).replace("dog", "\u0436" if encoding == "cp1251" else "\u00e9", 1)
        with pytest.raises(DataError) as caught:
            read(table(tmp_path, text, encoding=encoding))
        message = str(caught.value)
        begin = "labels.csv cannot be read as a table: it is not text in UTF-8 (line 3 has the "
        assert message.startswith(f"{begin}byte 0x")
        assert message.endswith("save it as UTF-8, which Excel calls 'CSV UTF-8'.")

    def test_a_quote_that_is_not_closed_is_an_error(self, tmp_path: Path) -> None:
        text = rows(FILES).replace("img/1.png", '"img/1.png')
        with pytest.raises(DataError, match=r"the row that begins in line 3\. Is a quote opened"):
            read(table(tmp_path, text))

    def test_empty_rows_and_empty_fields_behind_are_harmless(self, tmp_path: Path) -> None:
        images(tmp_path)
        text = rows(FILES).replace("img/1.png,dog", "img/1.png,dog,,\n,,\n\n")
        assert labels_of(read(table(tmp_path, text))) == RIGHT

    def test_names_of_columns_may_have_capitals_and_blanks(self, tmp_path: Path) -> None:
        images(tmp_path)
        text = rows(FILES).replace("path,label", " Path , LABEL ")
        assert labels_of(read(table(tmp_path, text))) == RIGHT

    def test_row_numbers_of_pandas_are_no_class(self, tmp_path: Path) -> None:
        images(tmp_path)
        text = ",path,cat,dog\n" + "".join(
            f"{i},{f},{int(label == 'cat')},{int(label == 'dog')}\n"
            for i, (f, label) in enumerate(RIGHT.items())
        )
        assert labels_of(read(table(tmp_path, text))) == RIGHT

    def test_words_of_yaml_are_names_like_others(self, tmp_path: Path) -> None:
        images(tmp_path)
        names = ("no", "null", "012", "1e3")
        text = "path,label\n" + "".join(f"{f},{n}\n" for f, n in zip(FILES, names, strict=True))
        assert labels_of(read(table(tmp_path, text))) == dict(zip(FILES, names, strict=True))

    def test_a_table_without_rows_says_so(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"^labels\.csv lists no images\.$"):
            read(table(tmp_path, "path,label\n"))

    def test_a_column_twice_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="has the column 'label' twice"):
            read(table(tmp_path, "path,label,label\nx,a,b\n"))

    def test_litter_of_macos_is_no_table(self, tmp_path: Path) -> None:
        images(tmp_path)
        ref = table(tmp_path, rows(FILES))
        (tmp_path / "labels.csv").rename(tmp_path / "Animals.CSV")
        (tmp_path / "._Animals.CSV").write_bytes(b"\0\5\x16\7")
        assert labels_of(read(ref)) == RIGHT

    def test_marks_of_tables_put_together_and_unicode_forms_are_no_part_of_names(
        self, tmp_path: Path
    ) -> None:
        images(tmp_path)
        names = ("caf\u00e9", "tea", "cafe\u0301", "tea")
        lines = [f"{f},{n}\n" for f, n in zip(FILES, names, strict=True)]
        text = f"\ufeffpath,label\n{lines[0]}{lines[1]}\ufeff{lines[2]}{lines[3]}"
        raw = read(table(tmp_path, text, encoding="utf-8-sig"))
        assert raw.class_names == ("caf\u00e9", "tea")
        assert list(labels_of(raw)) == list(FILES)

    @pytest.mark.parametrize(
        ("target", "advice"),
        [("label", "task=multilabel and data.delimiter=';'"), ("labels", "data.delimiter=';'")],
    )
    def test_labels_between_another_character_are_not_a_class(
        self, tmp_path: Path, target: str, advice: str
    ) -> None:
        images(tmp_path)
        text = f"{rows(FILES[:2])}{FILES[2]},dog;cat\n{FILES[3]},a;b\n"
        with pytest.raises(DataError) as caught:
            read(table(tmp_path, text, target=target))
        assert str(caught.value) == (
            "labels.csv has the label 'dog;cat', which is other labels with ';' between them (1 "
            f"such label). Give {advice} if images have several labels, else correct the rows."
        )


def other(name: str) -> str:
    return name.replace("/", "\\")


class TestPaths:
    @pytest.mark.parametrize(
        "change",
        [
            other,
            lambda name: f".\\{other(name)}",
            lambda name: f"C:\\Users\\me\\animals\\{other(name)}",
            lambda name: f"/content/drive/animals/{name}",
            lambda name: f"animals/{name}",
            lambda name: f"./{name}",
            lambda name: f"  {name} ",
            lambda name: name.removesuffix(".png"),
            lambda name: name.upper(),
            lambda name: name.removeprefix("img/"),
            lambda name: f"/data/{name.removeprefix('img/').removesuffix('.png')}",
        ],
        ids=[
            "backslashes",
            "dot",
            "windows",
            "colab",
            "the-root-too",
            "dot-slash",
            "blanks",
            "no-ending",
            "capitals",
            "no-folder",
            "another-folder-and-no-ending",
        ],
    )
    def test_a_name_with_one_clear_meaning_is_found(self, tmp_path: Path, change: Any) -> None:
        images(tmp_path)
        paths = tuple(change(name) for name in FILES)
        assert labels_of(read(table(tmp_path, rows(paths)))) == RIGHT

    def test_the_unicode_form_of_a_name_does_not_matter(self, tmp_path: Path) -> None:
        stored = tuple(unicodedata.normalize("NFD", f"f\u00fcr/\u00fc{i}.png") for i in range(4))
        images(tmp_path, stored)
        asked = tuple(unicodedata.normalize("NFC", name) for name in stored)
        assert list(labels_of(read(table(tmp_path, rows(asked))))) == list(stored)

    def test_a_name_without_ending_that_fits_two_images_is_told(self, tmp_path: Path) -> None:
        images(tmp_path, (*FILES, "img/1.jpg"))
        paths = tuple(name.removesuffix(".png") for name in FILES)
        raw = read(table(tmp_path, rows(paths)))
        (problem,) = raw.broken
        assert problem.name == "img/1"
        assert problem.detail.endswith("img/1 is listed but not there, but 1.jpg and 1.png are")

    def test_a_name_with_another_ending_is_told_with_the_image_there(self, tmp_path: Path) -> None:
        images(tmp_path)
        raw = read(table(tmp_path, rows(FILES).replace("1.png", "1.jpg")))
        assert [item.detail for item in raw.broken] == [
            "img/1.jpg is listed but not there, but 1.png is"
        ]

    def test_images_in_two_folders_by_the_same_names_are_not_guessed(self, tmp_path: Path) -> None:
        images(tmp_path, (*FILES, *(name.replace("img", "old") for name in FILES)))
        paths = tuple(name.removeprefix("img/") for name in FILES)
        with pytest.raises(DataError, match="4 of the kind: missing image file"):
            load(table(tmp_path, rows(paths)))

    def test_one_missing_image_is_not_looked_for_elsewhere(self, tmp_path: Path) -> None:
        images(tmp_path, (*FILES[:3], "3.png"))
        assert [item.name for item in read(table(tmp_path, rows(FILES))).broken] == ["img/3.png"]

    def test_a_name_longer_than_names_can_be_is_missing(self, tmp_path: Path) -> None:
        images(tmp_path)
        raw = read(table(tmp_path, rows((*FILES[:3], "x" * 5000))))
        assert [item.reason for item in raw.broken] == ["missing image file"]


class TestOneCause:
    """Rows that are all bad give one error that says why, with a count and three examples."""

    def message(self, ref: DataRef) -> list[str]:
        with pytest.raises(DataError) as caught:
            load(ref)
        return str(caught.value).splitlines()

    def test_images_that_are_not_there(self, tmp_path: Path) -> None:
        head, *lines = self.message(table(tmp_path, rows(FILES)))
        assert "has 4 problems" in head
        assert lines == [
            "  - 4 of the kind: missing image file",
            *(f"      {file} is listed but not there" for file in FILES[:3]),
            "      and 1 more",
        ]

    def test_splits_that_are_unknown(self, tmp_path: Path) -> None:
        images(tmp_path)
        text = "path,label,split\n" + "".join(f"{f},{c},fold 1\n" for f, c in RIGHT.items())
        assert self.message(table(tmp_path, text))[1] == "  - 4 of the kind: unknown split"

    def test_labels_that_are_not_there(self, tmp_path: Path) -> None:
        images(tmp_path)
        text = "path,label\n" + "".join(f"{f},\n" for f in FILES)
        assert self.message(table(tmp_path, text))[1] == "  - 4 of the kind: row without one label"

    def test_columns_that_are_no_classes(self, tmp_path: Path) -> None:
        images(tmp_path)
        text = "path,animal,age\n" + "".join(f"{f},{c},7\n" for f, c in RIGHT.items())
        assert self.message(table(tmp_path, text)) == [
            "The table has no column label, so that every column beside path and split is a class "
            "with 0 or 1; animal, age has other values, as 'cat'. Call the column of the labels "
            "label, or remove what is no class."
        ]


class TestClassColumns:
    @pytest.mark.parametrize(
        ("yes", "no"),
        [("1.0", "0.0"), ("True", "False"), ("true", "FALSE"), ("1", "0"), ("1,0", "0,0")],
    )
    def test_numbers_and_words_of_pandas_and_excel_are_read(
        self, tmp_path: Path, yes: str, no: str
    ) -> None:
        images(tmp_path)
        text = "path;cat;dog\n" + "".join(
            f"{file};{yes if label == 'cat' else no};{yes if label == 'dog' else no}\n"
            for file, label in RIGHT.items()
        )
        assert labels_of(read(table(tmp_path, text))) == RIGHT

    @pytest.mark.parametrize("value", ["", "0.7", "-1", "nan", "x"])
    def test_a_value_without_one_meaning_is_told(self, tmp_path: Path, value: str) -> None:
        images(tmp_path)
        text = f"path,cat\n{FILES[0]},1\n{FILES[1]},{value}\n{FILES[2]},0\n"
        raw = read(table(tmp_path, text, target="labels"))
        assert [item.detail for item in raw.broken] == [
            f"labels.csv, line 3 has {value!r} in cat; a column of a class has 0 or 1 (or false "
            "and true)"
        ]


class TestRowsOfOneImage:
    def test_a_row_per_label_gives_an_image_all_of_them(self, tmp_path: Path) -> None:
        images(tmp_path)
        ref = table(tmp_path, f"{rows(FILES)}{FILES[0]},dog\n", target="labels")
        raw = read(ref)
        assert [sample.target for sample in raw.parts["all"]] == [
            Labels((0, 1)),
            Labels((1,)),
            Labels((0,)),
            Labels((1,)),
        ]
        assert raw.broken == ()

    @pytest.mark.parametrize("text", ["['dog', 'cat']", '[""dog"",""cat""]', "[dog, cat]"])
    def test_a_list_of_labels_is_read_as_such(self, tmp_path: Path, text: str) -> None:
        images(tmp_path)
        lines = f'path,label\n{FILES[0]},"{text}"\n{FILES[1]},"[]"\n'
        raw = read(table(tmp_path, lines, target="labels"))
        assert raw.class_names == ("cat", "dog")
        assert [sample.target for sample in raw.parts["all"]] == [Labels((0, 1)), Labels(())]

    def test_two_spellings_of_a_name_are_one_image(self, tmp_path: Path) -> None:
        images(tmp_path)
        raw = read(table(tmp_path, f"{rows(FILES)}{other(FILES[0])},dog\n"))
        (problem,) = raw.broken
        assert problem.detail == (
            "img/0.png is listed as 'cat' and 'dog'; keep one of the rows, or give "
            "task=multilabel if images have several labels"
        )
        assert len(raw.parts["all"]) == 3

    def test_an_image_in_two_splits_is_told_as_such(self, tmp_path: Path) -> None:
        images(tmp_path)
        text = "path,label,split\n" + "".join(f"{f},{c},train\n" for f, c in RIGHT.items())
        raw = read(table(tmp_path, f"{text}{FILES[0]},dog,val\n", target="labels"))
        assert [item.reason for item in raw.broken] == ["image in two splits"]

    def test_labels_in_rows_of_one_split_are_joined_beside_another(self, tmp_path: Path) -> None:
        """Of two labels in train only the first counted where val listed the image, too."""
        images(tmp_path)
        said = (FILES[0], FILES[0], FILES[1], FILES[2], FILES[0])
        parts = ("train", "train", "train", "val", "val")
        lines = zip(said, ("cat", "dog", "dog", "cat", "cat"), parts, strict=True)
        text = "path,label,split\n" + "".join(",".join(line) + "\n" for line in lines)
        raw = read(table(tmp_path, text, target="labels"))
        assert [item.reason for item in raw.broken] == ["image in two splits"]
        assert [sample.target for sample in raw.parts["train"]] == [Labels((0, 1)), Labels((1,))]


class TestSplits:
    def test_rows_of_a_split_that_are_all_bad_leave_their_reason(self, tmp_path: Path) -> None:
        images(tmp_path)
        parts = ("training", "TRAIN", "Validation", "Testing")
        paths = ("gone.png", "lost.png", *FILES[2:])
        text = "path,label,split\n" + "".join(
            f"{f},{c},{p}\n" for f, c, p in zip(paths, LABELS, parts, strict=True)
        )
        ref = table(tmp_path, text)
        assert {part: len(found) for part, found in read(ref).parts.items()} == {
            "train": 0,
            "val": 1,
            "test": 1,
        }
        with pytest.raises(DataError, match="2 of the kind: missing image file"):
            load(ref)

    def test_tables_of_roboflow_have_to_agree_on_their_classes(self, tmp_path: Path) -> None:
        for part, columns in (("train", "filename, cat, dog"), ("valid", "filename, cat, cow")):
            images(tmp_path / part, ("0.png",))
            (tmp_path / part / "_classes.csv").write_text(f"{columns}\n0.png, 1, 0\n")
        ref = replace(REF, reader="csv", root=str(tmp_path), target="labels")
        with pytest.raises(DataError, match=r"valid/_classes\.csv has the columns filename, cat"):
            read(ref)
