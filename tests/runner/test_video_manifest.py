"""Manifests as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from vbbench.errors import InputError
from vbbench.runner.video_manifest import Row, read_manifest

HEADER = "video,image,text,subject\n"
FULL = "video,image,text,subject,id,class,subject_word\n"


def read(tmp_path: Path, text: str | bytes) -> tuple[list[Row], list[str]]:
    path = tmp_path / "m.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_manifest(path)


def test_rows_have_paths_safe_ids_and_words(tmp_path: Path) -> None:
    rows, notes = read(
        tmp_path, HEADER + 'a.mp4,img/r.png,"Rex, the dog, runs",Rex\n/abs/b.mp4,r.png,a cat,Mia\n'
    )
    assert notes == []
    assert [row.id for row in rows] == ["0001-Rex", "0002-Mia"]
    assert [row.video for row in rows] == [tmp_path / "a.mp4", Path("/abs/b.mp4")]
    assert [row.image for row in rows] == [tmp_path / "img/r.png", tmp_path / "r.png"]
    assert rows[0].text == "Rex, the dog, runs"
    assert [row.word for row in rows] == [
        "Rex",
        "a cat",
    ]  # Mia does not stand in the text, so all of it


def test_known_columns_are_used_and_others_told(tmp_path: Path) -> None:
    header = "Subject , TEXT,seed,image,video,class,id,subject_word,model\n"
    text = (
        header
        + "Rex,my dog runs,7,r.png,a.mp4,dog,first,my dog,x\nRex,a Dog,7,r.png,a.mp4,dog,2,,x\n"
    )
    rows, notes = read(tmp_path, text)
    assert [(row.id, row.subject, row.class_name, row.word) for row in rows] == [
        ("first", "Rex", "dog", "my dog"),
        ("2", "Rex", "dog", "dog"),
    ]
    assert notes == [f"columns of {tmp_path / 'm.csv'} that say nothing to vbbench: seed, model."]


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbf" + HEADER.encode() + b"a.mp4,r.png,a dog,Rex\n",  # as Excel writes it
        HEADER.replace("\n", "\r\n") + "a.mp4,r.png,a dog,Rex\r\n\r\n",
        "\n\n" + HEADER + "\n,,,\na.mp4 , r.png,a dog,Rex",
        '"video","image","text","subject"\n"a.mp4","r.png","a dog","Rex"\n',
    ],
)
def test_ways_to_write_the_same(tmp_path: Path, text: str | bytes) -> None:
    rows, _ = read(tmp_path, text)
    assert [(row.id, row.video, row.image, row.text, row.subject) for row in rows] == [
        ("0001-Rex", tmp_path / "a.mp4", tmp_path / "r.png", "a dog", "Rex")
    ]


def test_hostile_cells_are_only_text(tmp_path: Path) -> None:
    long = "x" * 2000
    cells = [
        ("../x", "../../etc"),
        ('"quo""ted"', "q"),
        ('"two\nlines"', "n"),
        ("\U0001f436", "\U0001f436"),
        ("\u202eabc", "שלום"),
        (long, long),
    ]
    rows, _ = read(
        tmp_path,
        HEADER
        + "".join(
            f"../{n}.mp4,/r.png,{text},{subject}\n" for n, (text, subject) in enumerate(cells)
        ),
    )
    assert [row.text for row in rows] == [
        "../x",
        'quo"ted',
        "two\nlines",
        "\U0001f436",
        "\u202eabc",
        long,
    ]
    assert all(
        row.id.isascii() and "/" not in row.id and not row.id.startswith(".") and len(row.id) < 80
        for row in rows
    )
    assert len({row.subject for row in rows}) == len(rows)
    assert [row.line for row in rows] == [2, 3, 4, 6, 7, 8]  # the third fills two lines


def test_row_without_video_or_image_is_kept_for_its_reason(tmp_path: Path) -> None:
    rows, _ = read(tmp_path, HEADER + ",r.png,a dog,Rex\na.mp4,,a dog,Rex\n")
    assert [(row.video is None, row.image is None) for row in rows] == [
        (True, False),
        (False, True),
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "",
            "line 1: the columns video, image, text, subject are needed, video, image, text, subject is missing (it is empty).",
        ),
        (
            "video,image,text\na,b,c\n",
            "line 1: the columns video, image, text, subject are needed, subject is missing (it has video, image, text).",
        ),
        (
            "video;image;text;subject\n",
            "(it has video;image;text;subject; columns are separated by commas).",
        ),
        ("video,image,text,subject,text\n", "line 1: the column text stands there twice."),
        (HEADER, "holds no row below its header."),
        (HEADER + ",,,\n\n", "holds no row below its header."),
        (
            HEADER + "a,b,c\n",
            "line 2: it has 3 cells, the header has 4; texts with commas stand in quotes.",
        ),
        (
            HEADER + "a,b,a dog, running,Rex\n",
            "line 2: it has 5 cells, the header has 4; texts with commas stand in quotes.",
        ),
        (HEADER + 'a,b,"two\nlines",x\n,b, ,Rex\n', "line 4: the text is missing."),
        (HEADER + "a,b,c,\n", "line 2: the subject is missing."),
        (HEADER + "a,b,c\0,Rex\n", "line 2: it holds a NUL character; this is no text."),
        (HEADER + 'a,b,"never closed,Rex\n', "this is no CSV: unexpected end of data."),
        (HEADER + f"a,b,{'x' * 200_000},Rex\n", "this is no CSV: field larger than field limit"),
        (FULL + "a,b,c,Rex,1,,\na,b,c,Rex,,,\n", "line 3: the id is missing."),
        (
            FULL + "a,b,c,Rex,1,,\na,b,c,Rex,2,,\na,b,c,Rex,1,,\n",
            "line 4: the id '1' stands in line 2 too.",
        ),
        (
            FULL + "a,b,a dog,Rex,1,dog,\na,b,c,Rex,2,,\na,b,c,Rex,3,cat,\n",
            "line 4: the subject 'Rex' is a cat, in line 2 a dog.",
        ),
        (
            FULL + "a,b,a dogma,Rex,1,,dog\n",
            "line 2: the subject word 'dog' is not a word of the text.",
        ),
        (
            HEADER.encode() + b"a,b,caf\xe9,Rex\n",
            "is not UTF-8 text (byte 32): save it as CSV UTF-8.",
        ),
        (HEADER.encode("utf-16"), "is not UTF-8 text (byte 0): save it as CSV UTF-8."),
    ],
)
def test_bad_manifests_are_told_with_the_line(
    tmp_path: Path, text: str | bytes, sentence: str
) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, text)
    assert str(caught.value).startswith(str(tmp_path / "m.csv"))
    assert sentence in str(caught.value)


def test_no_manifest_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no manifest"):
        read_manifest(tmp_path / "m.csv")
    with pytest.raises(InputError, match="is a folder, not a manifest"):
        read_manifest(tmp_path)
