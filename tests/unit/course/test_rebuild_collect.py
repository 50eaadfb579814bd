"""Folders and zips as learning platforms deliver them: who, which chapter, what is refused."""

import io
import json
import os
import stat
import time
import unicodedata
import zipfile
from pathlib import Path

import nbformat
import pytest
from tiny_chapter import NAME, SOURCE

from flatlab.course.assemble import assemble
from flatlab.course.rebuild import ArchiveRefused, Limits, Release, collect
from flatlab.course.rebuild.archive import notebooks, only_notebook
from flatlab.course.rebuild.collect import chapter_of
from flatlab.course.rebuild.reading import read
from flatlab.course.rebuild.senders import sender
from flatlab.course.source import CODE_KINDS, TEXT_KINDS, parse

OTHER = "01-other"
IN = f"{NAME}/{NAME}.ipynb"


def built(name: str, source: str) -> nbformat.NotebookNode:
    return assemble(parse(source, name, {**CODE_KINDS, **TEXT_KINDS}))


@pytest.fixture(scope="module")
def chapters() -> dict[str, Release]:
    other = SOURCE.replace("gradient_step", "other_step").replace("tiny", "other")
    other = other.replace('"why"', '"other"').replace("walk", "run")
    return {NAME: Release(built(NAME, SOURCE)), OTHER: Release(built(OTHER, other))}


@pytest.fixture(scope="module")
def data(chapters) -> bytes:
    return nbformat.writes(chapters[NAME].notebook).encode()


def zipped(files: dict[str, bytes], **options) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, **options) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


# Archives with a chapter's folder, or a student's, in them, as `flatlab submit` writes: the platform
# knows whose it is, and two students' archives of one name are not one student's.
@pytest.mark.parametrize(
    ("path", "student", "platform"),
    [
        (f"Jane Doe_4711_assignsubmission_file_/{NAME}.zip/{IN}", "Jane-Doe", "moodle"),
        (f"Jane Doe_4711_assignsubmission_file_/{NAME}.zip/bo/{IN}", "Jane-Doe", "moodle"),
        (f"Jane Doe_4711_assignsubmission_file_/bo/{IN}", "Jane-Doe", "moodle"),
        (f"class.zip/Jane Doe_4711_assignsubmission_file_/{NAME}.zip/{IN}", "Jane-Doe", "moodle"),
        (f"doejane_93_1234_{NAME}.zip/{IN}", "93", "canvas"),
        (f"doejane_93_1234_{NAME}-bo.zip/bo/{IN}", "93", "canvas"),
        (f"doejane_93_1234_{NAME}-bo.zip/bo_7_8_x/{IN}", "93", "canvas"),
        (f"doejane_93_1234_{NAME}.zip/bo_7_8_x/x.ipynb", "93", "canvas"),
        (f"doejane_93_1234_{NAME}.zip/Bo Ek_7_assignsubmission_file_/x.ipynb", "93", "canvas"),
        (f"class.zip/doejane_93_1234_{NAME}.zip/bo_7_8_x/x.ipynb", "93", "canvas"),
        (f"ada/{NAME}/{NAME}.zip/Bo Ek_7_assignsubmission_file_/x.ipynb", "ada", "nbgrader"),
        (f"ada/{NAME}/Bo Ek_7_assignsubmission_file_x.ipynb", "ada", "nbgrader"),
        (f"term_2026_11_22.zip/bo/{IN}", "bo", "nbgrader"),
        (f"{NAME}-bo.zip/bo/{IN}", "bo", "nbgrader"),
        (f"{NAME}-ws_2026_17_b.zip/ws_2026_17_b/{IN}", "ws_2026_17_b", "nbgrader"),
        ("2026_10_w/Bo Ek_7_assignsubmission_file_/x.ipynb", "Bo-Ek", "moodle"),
        ("2026_10_w/bo/x.ipynb", "bo", ""),
        ("2026_10_w/doejane_93_1234_x.ipynb", "93", "canvas"),
        ("eve/work.zip/doejane_93_1234_w/x.ipynb", "eve", ""),
        ("ws_2026_17_b/x.ipynb", "ws_2026_17_b", ""),
        (f"bo/{IN.replace('.ipynb', '.zip')}/{IN}", "bo", "nbgrader"),
        (f"bo/{NAME}.zip/{IN}", "bo", ""),
        (f"class.zip/bo/{NAME}.zip/{IN}", "bo", ""),
        (f"bo.zip/{IN}", "bo.zip", ""),
        (f"class.zip/bo.zip/{IN}", "bo.zip", ""),
        (f"class.zip/Bo Ek/{NAME}.ipynb", "Bo-Ek", ""),
        (f"{NAME}.zip/{IN}", "", ""),
        (f"{NAME} (1).zip/{IN}", "", ""),
        (IN, "", ""),
    ],
)
def test_whose_an_archive_is(path, student, platform, chapters):
    found = sender(path, chapters)
    assert (found.student, found.platform) == (student, platform)


@pytest.mark.parametrize(
    ("path", "student", "name", "platform", "number", "late"),
    [
        (f"jdoe/{NAME}/{NAME}.ipynb", "jdoe", "", "nbgrader", "", False),
        (
            "Jane Doe_4711_assignsubmission_file_/renamed.ipynb",
            *("Jane-Doe", "Jane Doe", "moodle", "4711", False),
        ),
        (
            "Zoë O'Neil_12_assignsubmission_file_00-tiny (1).ipynb",
            *("Zoë-O-Neil", "Zoë O'Neil", "moodle", "12", False),
        ),
        (
            "Jane Doe_4711_assignsubmission_file/work.zip/a/b.ipynb",
            *("Jane-Doe", "Jane Doe", "moodle", "4711", False),
        ),
        ("doejane_93_1234_00-tiny.ipynb", "93", "doejane", "canvas", "1234", False),
        ("doejane_LATE_93_1234_00-tiny-2.ipynb", "93", "doejane", "canvas", "1234", True),
        ("anon_x9_1234_00-tiny.ipynb", "anon_x9", "", "canvas", "1234", False),
        ("LATE_anon_x9_1234_00-tiny.ipynb", "anon_x9", "", "canvas", "1234", True),
        ("Jane Doe/00-tiny.ipynb", "Jane-Doe", "", "", "", False),
        ("00-tiny.ipynb", "", "", "", "", False),
    ],
)
def test_names_of_platforms(path, student, name, platform, number, late, chapters):
    found = sender(path, chapters)
    assert (found.student, found.name, found.platform) == (student, name, platform)
    assert (found.number, found.late) == (number, late)


def test_the_content_says_the_chapter_whatever_the_name_says(data, chapters):
    cells = read(data).cells
    assert chapter_of(cells, f"{OTHER}.ipynb", chapters) == NAME
    assert chapter_of(cells, "homework.ipynb", chapters) == NAME


@pytest.mark.parametrize("name", [f"{OTHER} (2).ipynb", "01_OTHER-final.ipynb", "hw 01.ipynb"])
def test_the_name_says_the_chapter_where_the_content_does_not(name, chapters):
    assert chapter_of((), name, chapters) == OTHER
    assert chapter_of((), "homework.ipynb", chapters) == ""


def test_a_moodle_zip(tmp_path, data, chapters):
    path = tmp_path / "class.zip"
    files = {
        "Ann Lee_1_assignsubmission_file_/a.ipynb": data,
        "Ann Lee_2_assignsubmission_file_/a.ipynb": data,
        "Bo Ek_3_assignsubmission_file_/work.zip": zipped({"x/y.ipynb": data}),
        "Bo Ek_3_assignsubmission_file_/notes.txt": b"-",
        "Cy Oh_4_assignsubmission_file_/.ipynb_checkpoints/a-checkpoint.ipynb": data,
        "__MACOSX/Cy Oh_4_assignsubmission_file_/._a.ipynb": b"\0",
        "Di Fo_5_assignsubmission_file_/broken.ipynb": b"not a notebook",
        "Ed Go_6_assignsubmission_file_/work.ipynb.txt": data,
    }
    path.write_bytes(zipped(files))
    found = collect(path, chapters)
    told = [(h.student, h.number, h.chapter, bool(h.problem)) for h in found]
    assert told == [
        ("Ann-Lee-1", "1", NAME, False),
        ("Ann-Lee-2", "2", NAME, False),
        ("Bo-Ek", "3", NAME, False),
        ("Di-Fo", "5", "", True),
        ("Ed-Go", "6", NAME, False),
    ]
    assert all(h.data == data for h in (*found[:3], found[4]))


def test_nobody_whose_files_are_of_another_kind_vanishes(tmp_path, data, chapters):
    files = {
        "Ada B_1_assignsubmission_file_/work.pdf": b"%PDF",
        "Bo C_2_assignsubmission_file_/hw.zip": zipped({"a.docx": b"-", "b.rar": b"-"}),
        "Cy D_3_assignsubmission_onlinetext/onlinetext.html": b"<p>",
        "Di E_4_assignsubmission_file_/nothing.zip": zipped({}),
        "Ed F_5_assignsubmission_file_/notes.txt": b"-",
        "Ed F_5_assignsubmission_file_/work.ipynb": data,
        "Ed F_6_assignsubmission_file_/other.pdf": b"%PDF",  # of the same name
        "instructions.pdf": b"%PDF",  # nobody's
    }
    for place in ("folder/class.zip", "class.zip"):
        path = tmp_path / place
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(zipped(files))
        found = collect(tmp_path if "/" in place else path, chapters)
        assert [(h.student, h.number, h.chapter, h.problem) for h in found] == [
            ("Ed-F", "5", NAME, ""),
            ("Ada-B", "1", "", "No notebook: work.pdf."),
            ("Bo-C", "2", "", "No notebook: a.docx, b.rar."),
            ("Cy-D", "3", "", "No notebook: onlinetext.html."),
            ("Di-E", "4", "", "No notebook: nothing.zip."),
            ("Ed-F", "6", "", "No notebook: other.pdf."),
        ]


def test_a_canvas_student_who_adds_another_file_has_handed_in(tmp_path, data, chapters):
    files = {"leeann_7_21_work.ipynb": data, "leeann_7_22_notes.pdf": b"-", "ohbo_8_23_x.pdf": b"-"}
    (tmp_path / "submissions.zip").write_bytes(zipped(files))
    found = collect(tmp_path / "submissions.zip", chapters)
    assert [(h.student, h.problem) for h in found] == [
        ("7", ""),
        ("8", "No notebook: ohbo_8_23_x.pdf."),
    ]


def test_names_of_every_script_stay_apart(tmp_path, data, chapters):
    names = ("रीता", "रोता", unicodedata.normalize("NFD", "Gül Hakan"), "ü" * 120, "ü" * 119 + "a")
    for name in names:
        path = tmp_path / name / NAME / f"{NAME}.ipynb"
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
    found = {handed.student for handed in collect(tmp_path, chapters)}
    assert len(found) == 5 and {"रीता", "रोता", "Gül-Hakan"} < found
    assert all(len(name.encode()) <= 200 for name in found)


def test_a_moodle_student_has_a_number_in_each_assignment(tmp_path, data, chapters):
    other = nbformat.writes(chapters[OTHER].notebook).encode()
    for name, number, content in (("a.zip", 11, data), ("b.zip", 52, other)):
        files = {f"Ada Lee_{number}_assignsubmission_file_/x.ipynb": content}
        (tmp_path / name).write_bytes(zipped(files))
    found = [(handed.student, handed.chapter) for handed in collect(tmp_path, chapters)]
    assert found == [("Ada-Lee", NAME), ("Ada-Lee", OTHER)]


def test_canvas_attempts_the_last_one_counts(tmp_path, data, chapters):
    newer = data.replace(b"A tiny chapter", b"A new chapter")
    for name, content in (("d_7_55_a-1.ipynb", newer), ("d_7_9_a.ipynb", data)):
        (tmp_path / name).write_bytes(content)
    (found,) = collect(tmp_path, chapters)
    assert found.data == newer
    assert found.earlier == ("d_7_9_a.ipynb",)


def test_an_nbgrader_folder_and_one_file(tmp_path, data, chapters):
    path = tmp_path / "ann" / NAME / "renamed by ann.ipynb"
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    (found,) = collect(tmp_path, chapters)
    assert (found.student, found.chapter, found.platform) == ("ann", NAME, "nbgrader")
    (found,) = collect(path, chapters)
    assert found.chapter == NAME and "whose" in found.problem
    with pytest.raises(FileNotFoundError, match="give a notebook"):
        collect(tmp_path / "none", chapters)


@pytest.mark.parametrize("name", ["work.zip", "work.ipynb", "00-tiny.ipynb"])
def test_a_students_own_archive_whatever_its_name(name, tmp_path, data, chapters):
    (tmp_path / "ann").mkdir()
    (tmp_path / "ann" / name).write_bytes(zipped({"work/final.ipynb": data, "work/a.csv": b"1"}))
    (found,) = collect(tmp_path, chapters)
    assert (found.student, found.chapter, found.problem) == ("ann", NAME, "")
    assert found.data == data


@pytest.mark.parametrize(
    "name",
    ["../evil.ipynb", "/etc/evil.ipynb", "a/../../evil.ipynb", "..\\evil.ipynb", "C:/e.ipynb"],
)
def test_zip_slips_are_refused_before_anything_is_read(name, data):
    with pytest.raises(ArchiveRefused, match="zip slip"):
        list(notebooks(zipped({"good.ipynb": data, name: data})))


def test_links_are_refused(tmp_path, data, chapters):
    info = zipfile.ZipInfo("link.ipynb")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(ArchiveRefused, match="symbolic link"):
        list(notebooks(buffer.getvalue()))
    (tmp_path / "ann").mkdir()
    secret = tmp_path.parent / "secret.ipynb"
    secret.write_bytes(data)
    os.symlink(secret, tmp_path / "ann" / "00-tiny.ipynb")
    (found,) = collect(tmp_path, chapters)
    assert "symbolic link" in found.problem and found.data == b""


def refusal(data: bytes, limits: Limits | None = None) -> str:
    ((_, refused),) = notebooks(data, limits)
    assert isinstance(refused, ArchiveRefused)
    with pytest.raises(ArchiveRefused):
        only_notebook(data, limits)
    return str(refused)


def test_bombs_are_refused_while_they_unpack():
    bomb = zipped({"a.ipynb": bytes(8 * 2**20)})
    assert len(bomb) < 20_000
    assert "bomb" in refusal(bomb)
    assert "more than 0 MiB" in refusal(zipped({"a.ipynb": os.urandom(3000)}), Limits(entry=1000))
    many = zipped({f"{i}.ipynb": b"{}" for i in range(30)})
    with pytest.raises(ArchiveRefused, match="more than 20 entries"):
        list(notebooks(many, Limits(entries=20)))


def test_the_size_of_all_entries_together_is_limited():
    files = {f"{i}.ipynb": os.urandom(1000) for i in range(10)}
    read = [isinstance(found, bytes) for _, found in notebooks(zipped(files), Limits(total=5000))]
    assert read == [True] * 5 + [False] * 5
    # One student's archive has a share of its own, and what it took is gone for the others too.
    nested = zipped({"a.zip": zipped(files), "b.ipynb": os.urandom(1000)})
    told = {name: found for name, found in notebooks(nested, Limits(inner=5000))}
    assert sum(isinstance(found, bytes) for found in told.values()) == 6
    told = {name: found for name, found in notebooks(nested, Limits(inner=5000, total=20_000))}
    assert isinstance(told["b.ipynb"], ArchiveRefused)


def test_one_students_bomb_does_not_stop_the_class(tmp_path, data, chapters):
    path = tmp_path / "class.zip"
    files = {
        "A B_1_assignsubmission_file_/bomb.zip": zipped({"a.ipynb": bytes(8 * 2**20)}),
        "A C_2_assignsubmission_file_/slip.zip": zipped({"../a.ipynb": data}),
        "A D_3_assignsubmission_file_/deep.zip": zipped({"z.zip": zipped({"a.ipynb": data})}),
        "A E_4_assignsubmission_file_/broken.zip": b"PK\3\4 nothing",
        "A F_5_assignsubmission_file_/good.ipynb": data,
    }
    path.write_bytes(zipped(files))
    found = {h.student: h for h in collect(path, chapters)}
    assert [bool(found[s].problem) for s in ("A-B", "A-C", "A-D", "A-E", "A-F")] == [True] * 4 + [
        False
    ]
    assert "bomb" in found["A-B"].problem and "zip slip" in found["A-C"].problem
    assert "too deep" in found["A-D"].problem and "cannot be read" in found["A-E"].problem


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2, zipfile.ZIP_DEFLATED])
def test_what_is_wrong_with_one_students_file_stays_with_it(method, tmp_path, data, chapters):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("a.ipynb", data)
    torn = bytearray(buffer.getvalue())
    torn[60:160] = bytes(byte ^ 0x5A for byte in torn[60:160])
    moved = bytearray(zipped({"a.ipynb": data}))
    at = moved.index(b"PK\5\6") + 16  # where the directory begins, says the archive's end
    moved[at : at + 4] = (int.from_bytes(moved[at : at + 4], "little") + 500).to_bytes(4, "little")
    files = {
        "A B_1_assignsubmission_file_/torn.zip": bytes(torn),
        "A C_2_assignsubmission_file_/long.ipynb": data + b"\n" * (3 << 20),  # as a bomb packs
        "A D_3_assignsubmission_file_/many.zip": zipped({str(i): b"" for i in range(20_001)}),
        "A E_4_assignsubmission_file_/moved.zip": bytes(moved),
        "A F_5_assignsubmission_file_/good.zip": zipped({"a.ipynb": data}),
    }
    (tmp_path / "class.zip").write_bytes(zipped(files))
    found = {handed.student: handed for handed in collect(tmp_path / "class.zip", chapters)}
    assert [bool(found[f"A-{letter}"].problem) for letter in "BCDEF"] == [True] * 4 + [False]
    assert found["A-F"].data == data


def test_broken_and_encrypted_archives_say_so(data):
    good = zipped({"a.ipynb": data})
    for broken in (good[: len(good) // 2], b"PK\3\4", b"text"):
        with pytest.raises(ArchiveRefused, match="cannot be read"):
            list(notebooks(broken))
    torn = bytearray(good)
    torn[60:80] = bytes(20)
    assert "cannot be unpacked" in refusal(bytes(torn))
    locked = bytearray(good)
    locked[6] |= 1
    at = locked.index(b"PK\1\2")
    locked[at + 8] |= 1
    assert "encrypted" in refusal(bytes(locked))


def test_only_notebook_wants_one(data):
    assert only_notebook(zipped({"a.ipynb": data, "b.txt": b""})) == data
    for files in ({}, {"a.ipynb": data, "b.ipynb": data}):
        with pytest.raises(ArchiveRefused, match="one is needed"):
            only_notebook(zipped(files))


def test_nothing_is_written(tmp_path, data, chapters, monkeypatch):
    path = tmp_path / "class.zip"
    path.write_bytes(zipped({"A B_1_assignsubmission_file_/a.ipynb": data}))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(zipfile.ZipFile, "extractall", None)
    collect(path, chapters)
    assert sorted(p.name for p in Path(tmp_path).rglob("*")) == ["class.zip"]


SHAPES = ["{} Lee_{}_assignsubmission_file_/a.ipynb", f"s{{}}/{IN}"]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_class_archive_named_like_a_course_is_no_student(shape, tmp_path, data, chapters):
    packed = zipped({shape.format(n, n): data for n in (1, 2, 3)})
    (tmp_path / "CS_231_2026_W-Exercise 1-4711.zip").write_bytes(packed)
    found = collect(tmp_path, chapters)
    assert len({handed.student for handed in found}) == len(found) == 3
    assert {handed.platform for handed in found} <= {"moodle", "nbgrader"}
    term = tmp_path / "2026_10_w"
    term.mkdir()
    (term / "class.zip").write_bytes(packed)
    assert len(collect(term.parent, chapters)) == 3
    (term / "class.zip").unlink()
    small = tmp_path / "cs_231_2026_w-exercise 1-4711.zip"  # as Canvas names a student's
    (tmp_path / "CS_231_2026_W-Exercise 1-4711.zip").rename(small)
    (alone,) = collect(tmp_path, chapters)
    assert alone.student == alone.chapter == "" and not alone.data
    assert "holds what a whole class has handed in" in alone.problem
    assert len(collect(small, chapters)) == 3


@pytest.mark.parametrize(
    "inside", [{"Bo Ek_7_assignsubmission_file_/zz (9).ipynb"}, {f"bo/{IN}", f"cy/{IN}"}]
)
@pytest.mark.parametrize(
    ("hers", "student"),
    [
        ("Eve_4711_assignsubmission_file_/1_2_x.zip", "Eve"),
        ("王小明_4711_assignsubmission_file_1_2_x.zip", "王小明"),
        (f"eve/{NAME}/1_2_x.zip", "eve"),
        (f"eve/{NAME}/1_2_x.ipynb", "eve"),
        ("evemo_92_1233_work.zip", ""),
        ("submissions/evemo_92_1233_work.zip", ""),
    ],
)
@pytest.mark.parametrize("alone", [True, False])
def test_what_a_students_archive_says_makes_nobody_elses(
    alone, hers, student, inside, tmp_path, data, chapters
):
    (tmp_path / hers).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / hers).write_bytes(zipped(dict.fromkeys(inside, data)))
    others = {"Bo Ek_7_assignsubmission_file_/x.ipynb", f"bo/{IN}", "doejane_93_1234_x.ipynb"}
    for path in () if alone else others:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    found = collect(tmp_path, chapters)
    assert {handed.student for handed in found} == {student} | (
        set() if alone else {"Bo-Ek", "bo", "93"}
    )
    assert all(handed.path in others for handed in found if handed.student in ("Bo-Ek", "bo"))


@pytest.mark.parametrize("name", [".", "\0ZZ.txt", "a/"])
def test_entries_without_a_name_stop_nobody(name, tmp_path, data, chapters):
    packed = zipped({"x.ipynb": data, name.replace("\0", "Z"): b""})
    packed = packed.replace(b"ZZZ.txt", name.encode())  # read as an empty name
    (tmp_path / "eve_92_1233_x.zip").write_bytes(packed)
    assert [handed.student for handed in collect(tmp_path, chapters)] == ["92"]


def test_names_of_a_zip_from_a_mac(tmp_path, data, chapters, monkeypatch):
    monkeypatch.setattr(  # UTF-8, and no flag that says so, as Finder writes
        zipfile.ZipInfo, "_encodeFilenameFlags", lambda info: (info.filename.encode(), 0)
    )
    folder = unicodedata.normalize("NFD", "Gül Hakan_4711_assignsubmission_file_")
    packed = zipped({f"{folder}/a.ipynb": data})
    monkeypatch.undo()
    assert "Gül" not in zipfile.ZipFile(io.BytesIO(packed)).namelist()[0]
    (tmp_path / "class.zip").write_bytes(packed)
    assert [handed.student for handed in collect(tmp_path, chapters)] == ["Gül-Hakan"]


def test_files_of_no_chapter_rename_nobody(tmp_path, data, chapters):
    for name, number, files in (
        ("a.zip", 11, {"x": data, "y": b"{}"}),
        ("b.zip", 52, {"x": b"{}"}),
    ):
        folder = f"Ada Lee_{number}_assignsubmission_file_"
        files = {f"{folder}/{each}.ipynb": content for each, content in files.items()}
        (tmp_path / name).write_bytes(zipped(files))
    assert {handed.student for handed in collect(tmp_path, chapters)} == {"Ada-Lee"}


@pytest.mark.parametrize(
    "text",
    [
        *("[" * 50_000 + "}" * 50_000, "[" * 30_000 + '"a\n' * 30_000),
        json.dumps({"cells": [{"cell_type": "code", "source": "# setup\n" * 30_000}]}),
    ],
    ids=["brackets", "strings", "markers"],
)
def test_no_file_takes_hours_to_collect(text, tmp_path, chapters):
    begin = time.process_time()
    (tmp_path / "a.ipynb").write_text(text)
    collect(tmp_path, chapters)
    assert time.process_time() - begin < 20


def test_numbers_without_end_stop_nobody(tmp_path, data, chapters):
    files = {f"7_{'9' * 5000}{k}_a.ipynb": data for k in (1, 2)} | {f"{'7' * 300}_1_a.ipynb": data}
    (tmp_path / "ada.zip").write_bytes(zipped(files))
    assert all(len(handed.student.encode()) <= 200 for handed in collect(tmp_path, chapters))


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_methods_that_unpack_all_at_once_are_refused(method):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("a.ipynb", b"{}")
    assert "deflate" in refusal(buffer.getvalue())


def test_a_students_archive_in_a_folder_has_a_share(tmp_path, chapters):
    (tmp_path / "ann").mkdir()
    files = {f"{i}.ipynb": os.urandom(1000) for i in range(10)}
    (tmp_path / "ann" / "w.zip").write_bytes(zipped(files))
    assert sum(bool(h.data) for h in collect(tmp_path, chapters, Limits(inner=5000))) == 5
