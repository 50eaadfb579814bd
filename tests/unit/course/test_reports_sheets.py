"""Tables and the class page: they say what the records say, and open safely."""

import copy
import csv
import io
import zipfile
from urllib.parse import unquote

import pytest
from reports_records import LAYOUT, records
from test_reports_feedback import Page

from flatlab.course.reports import write
from flatlab.course.reports.sheets import text

CHAPTER = "00-start-here"


def one(who: str, **changes) -> dict:
    return copy.deepcopy(records(CHAPTER)[who]) | changes


def table(path) -> list[dict]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def raw(path) -> list[list[str]]:
    return list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"), newline="")))


def test_a_row_a_student_and_a_column_a_question(tmp_path):
    given = [one("wrong-1"), one("right-1", late=True)]
    write(given, tmp_path, layout=LAYOUT)
    right, wrong = table(tmp_path / f"{CHAPTER}.csv")
    assert (right["student"], right["name"], right["late"]) == ("right-1", "Name of right-1", "yes")
    assert (right["gradient_step"], right["two-curvatures"], right["total"]) == ("1", "", "1")
    assert (wrong["gradient_step"], wrong["total"], wrong["max"]) == ("0", "0", "2")
    assert wrong["by_hand"] == "two-curvatures" and wrong["needs_look"] == ""


def test_no_score_is_an_empty_cell_and_no_zero(tmp_path):
    unsure = one("right-1")
    unsure["scores"]["check-gradient_step"].update(score=None, needs_look=True)
    lost = one("right-2", status="manual", exercises={}, scores={})
    write([unsure, lost], tmp_path, layout=LAYOUT)
    first, second = table(tmp_path / f"{CHAPTER}.csv")
    assert (first["gradient_step"], first["needs_look"]) == ("", "gradient_step")
    assert (second["gradient_step"], second["total"], second["status"]) == ("", "", "manual")


def test_what_a_person_gave_replaces_the_machines_points(tmp_path):
    given = {("right-1", CHAPTER): {"open-two-curvatures": 0.5, "check-gradient_step": 0.25}}
    unsure = one("right-1")
    unsure["scores"]["check-gradient_step"].update(score=None, needs_look=True)
    write([unsure], tmp_path, layout=LAYOUT, by_hand=given)
    (row,) = table(tmp_path / f"{CHAPTER}.csv")
    assert (row["gradient_step"], row["two-curvatures"], row["total"]) == ("0.25", "0.5", "0.75")
    assert (row["needs_look"], row["by_hand"]) == ("", "")


@pytest.mark.parametrize(
    "name",
    [
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "  =1",
        "＝1",
        '"quoted", and, commas',
        "ü 木",
    ],
)
def test_names_are_no_formulas_and_come_back(name, tmp_path):
    write([one("right-1", name=name)], tmp_path, layout=LAYOUT, platform="moodle")
    (row,) = table(tmp_path / f"{CHAPTER}.csv")
    assert row["name"][0] not in "=+-@\t\r ＝"
    assert row["name"].removeprefix("'") == name.strip()
    assert text(name) == row["name"]


def test_control_characters_do_not_reach_the_table(tmp_path):
    write([one("right-1", name="a\x00b\x1b[31m\nc")], tmp_path, layout=LAYOUT)
    assert table(tmp_path / f"{CHAPTER}.csv")[0]["name"] == "a b [31m c"


def test_half_a_character_in_a_name_stops_nothing(tmp_path):
    odd = one("right-1", name="a\ud800b", path="\udcff.ipynb", platform="moodle", number="1")
    write([odd], tmp_path, layout=LAYOUT, platform="moodle")
    assert table(tmp_path / f"{CHAPTER}.csv")[0]["name"] == "a b"
    assert "a?b" in (tmp_path / f"{CHAPTER}.html").read_text("utf-8")


def test_moodle_gets_the_columns_of_its_grading_worksheet(tmp_path):
    """mod/assign/feedback/offline/importgradeslib.php: identifier, grade, when it was changed."""
    unsure = one("right-2", platform="moodle", number="12")
    unsure["scores"]["check-gradient_step"].update(needs_look=True)
    given = [one("right-1", platform="moodle", number="4711"), unsure, one("right-3")]
    write(given, tmp_path, layout=LAYOUT, platform="moodle")
    head, *rows = raw(tmp_path / f"{CHAPTER}-moodle.csv")
    assert {"Identifier", "Grade", "Last modified (grade)"} <= set(head)
    assert [dict(zip(head, row, strict=True)) for row in rows] == [
        {
            "Identifier": "Participant 4711",
            "Full name": "Name of right-1",
            "Grade": "1",
            "Maximum Grade": "2",
            "Last modified (grade)": "",
        }
    ]


def test_moodle_gets_feedback_in_folders_that_name_the_participant(tmp_path):
    """importziplib.php: a folder's name is split at _, the second part is the participant."""
    ada = one("right-1", platform="moodle", number="4711", name="Ada_1_Byron")
    write([ada, one("right-2")], tmp_path, layout=LAYOUT, platform="moodle")
    with zipfile.ZipFile(tmp_path / f"{CHAPTER}-moodle-feedback.zip") as made:
        (name,) = made.namelist()
        page = made.read(name)
    folder, file = name.split("/")
    assert folder.split("_", 4)[1:] == ["4711", "assignsubmission", "file"]
    assert file == f"{CHAPTER}-feedback.html"
    path = tmp_path / "feedback" / "right-1" / CHAPTER / f"{CHAPTER}.html"
    assert page == path.read_bytes()


def test_canvas_gets_the_columns_of_its_gradebook(tmp_path):
    """lib/gradebook_importer.rb: student, ID, ... up to Section, then assignments by their titles."""
    given = [
        one("right-1", platform="canvas", student="208", name="doejane"),
        one("right-2", platform="canvas", student="anon_x9", name=""),
        one("wrong-1", platform="canvas", student="209", name="roe", status="manual", scores={}),
    ]
    write(given, tmp_path, layout=LAYOUT, platform="canvas")
    head, most, *rows = raw(tmp_path / f"{CHAPTER}-canvas.csv")
    assert head == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", CHAPTER]
    assert most[0] == "Points Possible" and most[-1] == "2"
    assert rows == [["doejane", "208", "", "", "", "1"]]  # an empty grade would delete one


def test_the_class_page_counts_and_names(tmp_path):
    flagged = one("wrong-2")
    flagged["scores"]["check-gradient_step"].update(nbgrader=1.0, decided=0.0, needs_look=True)
    flag = {"exercise": "gradient_step", "reason": "higher inside", "detail": "nbgrader gave more"}
    flagged["flags"] = [flag | {"nbgrader": 1.0, "decided": 0.0}]
    case = {"where": "file", "reason": "unreadable", "text": "No cell could be read."}
    lost = one("wrong-3", status="manual", exercises={}, scores={}, manual=[case])
    given = [one("wrong-1"), one("wrong-1", student="b"), flagged, lost, one("right-1")]
    write(given, tmp_path, layout=LAYOUT)
    page = Page((tmp_path / f"{CHAPTER}.html").read_text("utf-8"))
    assert page.odd == []
    assert "5 submissions" in page.text and "1 could not be run" in page.text
    assert "2 need a look" in page.text
    assert "gradient_step 1 0.25 1 3 0" in page.text  # points, mean, full, none, by hand
    assert "2 Name of wrong-1, Name of wrong-1 It goes uphill" in page.text
    assert "higher inside : nbgrader gave more 1 0" in page.text
    assert "Name of wrong-3 file unreadable : No cell could be read. – –" in page.text
    labels = [value for name, value in page.values if name == "aria-label"]
    assert "Exercise 1 · One step downhill: 1 full points, 3 no points." in labels
    assert any(label.startswith("Submissions by points: 3 with 0, 1 with 1") for label in labels)


def test_what_a_person_settled_needs_no_look(tmp_path):
    flagged = one("wrong-2")
    flagged["scores"]["check-gradient_step"].update(nbgrader=1.0, decided=0.0, needs_look=True)
    flag = {"exercise": "gradient_step", "reason": "higher inside", "detail": "more"}
    case = {"where": "open two-curvatures", "reason": "lost", "text": "No answer found."}
    flagged |= {"flags": [flag], "manual": [case]}
    given = {("wrong-2", CHAPTER): {"check-gradient_step": 0.5, "open-two-curvatures": 1.0}}
    write([flagged], tmp_path, layout=LAYOUT, by_hand=given)
    page = Page((tmp_path / f"{CHAPTER}.html").read_text("utf-8"))
    assert "0 need a look" in page.text and "higher inside" not in page.text
    (row,) = table(tmp_path / f"{CHAPTER}.csv")
    assert (row["total"], row["needs_look"]) == ("1.5", "")


def test_points_of_an_earlier_attempt_wait_and_are_not_exported(tmp_path):
    given = {("right-1", CHAPTER): {"open-two-curvatures": None}}
    waiting = one("right-1", platform="moodle", number="7")
    write([waiting], tmp_path, layout=LAYOUT, by_hand=given, platform="moodle")
    (row,) = table(tmp_path / f"{CHAPTER}.csv")
    assert (row["two-curvatures"], row["total"]) == ("", "1")
    assert (row["needs_look"], row["by_hand"]) == ("two-curvatures", "two-curvatures")
    assert table(tmp_path / f"{CHAPTER}-moodle.csv") == []
    page = Page((tmp_path / f"{CHAPTER}.html").read_text("utf-8"))
    assert "two-curvatures points of an earlier attempt" in page.text


def test_what_could_not_be_run_counts_once_a_person_has_graded_all_of_it(tmp_path):
    lost = one("right-1", status="manual", exercises={}, scores={}, platform="moodle", number="7")
    lost["manual"] = [{"where": "file", "reason": "empty", "text": "The file is empty."}]
    points = {"check-gradient_step": 1.0}
    for total, exported in (("", 0), ("2", 1)):
        given = {("right-1", CHAPTER): dict(points)}
        write([lost], tmp_path, layout=LAYOUT, by_hand=given, platform="moodle")
        (row,) = table(tmp_path / f"{CHAPTER}.csv")
        assert row["total"] == total
        assert len(table(tmp_path / f"{CHAPTER}-moodle.csv")) == exported
        page = Page((tmp_path / f"{CHAPTER}.html").read_text("utf-8"))
        assert f"{1 - exported} need a look" in page.text
        points["open-two-curvatures"] = 1.0


def test_which_of_several_files_counts_is_told_to_both(tmp_path):
    several = one("right-1", path="ada/two (1).ipynb", earlier=["ada/<b>two.ipynb"])
    write([several, one("right-2")], tmp_path, layout=LAYOUT)
    page = Page((tmp_path / f"{CHAPTER}.html").read_text("utf-8")).text
    assert "Of 2 files this one counts: two (1).ipynb. Not: ada/<b>two.ipynb." in page
    told = [
        (tmp_path / "feedback" / who / CHAPTER / f"{CHAPTER}.html").read_text("utf-8")
        for who in ("right-1", "right-2")
    ]
    assert ["Of 2 files this one counts: two (1).ipynb." in text for text in told] == [True, False]


def test_messages_that_differ_in_numbers_are_one_mistake(tmp_path):
    first, second = one("wrong-1"), one("wrong-1", student="b", name="B")
    for record, numbers in ((first, "[1, -2e-05, 3]"), (second, "[0.25, 7, 8.5]")):
        failed = record["exercises"]["gradient_step"]["failed"]
        said = f"✗ gradient_step (aim)\n  From w it goes to {numbers}; w is 2.5."
        record["exercises"]["gradient_step"]["failed"] = [failed[0] | {"message": said}]
    write([first, second], tmp_path, layout=LAYOUT)
    page = Page((tmp_path / f"{CHAPTER}.html").read_text("utf-8"))
    assert "2 B, Name of wrong-1 From w it goes to [0.25, 7, 8.5]; w is 2.5." in page.text


HOSTILE = "</td><script>alert('x')</script><img src=x onerror=alert(1)>"


def test_hostile_texts_stay_texts(tmp_path):
    hostile = one("wrong-1", name=HOSTILE, path=HOSTILE)
    hostile["flags"] = [{"exercise": "", "check": "", "reason": HOSTILE, "detail": HOSTILE}]
    hostile["manual"] = [{"where": HOSTILE, "reason": HOSTILE, "text": HOSTILE}]
    entry = {"subject": "cells", "name": HOSTILE, "outcome": "moved", "how": "", "student": HOSTILE}
    hostile["rebuilt"] = [entry | {"instructor": HOSTILE}]
    failed = hostile["exercises"]["gradient_step"]["failed"]
    failed[0]["message"] = f"✗ gradient_step (aim)\n  {HOSTILE}"
    paths = write([hostile], tmp_path, layout=LAYOUT)
    pages = [Page(path.read_text("utf-8")) for path in paths if path.suffix == ".html"]
    assert len(pages) == 2
    for page in pages:
        assert page.odd == [] and not {"script", "img"} & set(page.tags)
        assert not any(name.startswith("on") for name, _ in page.values)
        assert HOSTILE in page.text  # shown as it is


def test_nothing_is_loaded_and_no_script_may_run(tmp_path):
    for path in write([one("wrong-1")], tmp_path, layout=LAYOUT):
        if path.suffix == ".html":
            page = Page(path.read_text("utf-8"))
            assert ("content", "default-src 'none'; style-src 'unsafe-inline'") in page.values
            links = [value for name, value in page.values if name in ("href", "src")]
            assert all(link.startswith("feedback/") for link in links)


def test_the_class_page_leads_to_each_feedback(tmp_path):
    write([one("right-1", student="Zoë-木", name="Zoë")], tmp_path, layout=LAYOUT)
    page = Page((tmp_path / f"{CHAPTER}.html").read_text("utf-8"))
    (link,) = [value for name, value in page.values if name == "href"]
    assert (tmp_path / unquote(link)).is_file()


def test_what_is_of_no_chapter_is_listed(tmp_path):
    case = {"where": "file", "reason": "not run", "text": "Nothing says which chapter it is."}
    stray = one(
        "right-1", chapter="unknown-12", student="unknown-12", path="=a.ipynb", manual=[case]
    )
    write([stray, one("right-2")], tmp_path, layout=LAYOUT)
    (row,) = table(tmp_path / "unplaced.csv")
    assert (row["path"], row["why"]) == ("'=a.ipynb", "Nothing says which chapter it is.")
    assert not (tmp_path / "feedback" / "unknown-12").exists()


@pytest.mark.parametrize("student", ["../up", "a/b", "..", "a b", "a\x00"])
def test_a_student_that_is_no_folder_name_is_refused_before_anything_is_written(student, tmp_path):
    with pytest.raises(ValueError, match="cannot be a folder's name"):
        write([one("right-1"), one("right-2", student=student)], tmp_path / "out", layout=LAYOUT)
    assert not (tmp_path / "out").exists()


def test_an_unknown_platform_is_refused(tmp_path):
    with pytest.raises(ValueError, match="choose moodle or canvas"):
        write([one("right-1")], tmp_path / "out", layout=LAYOUT, platform="ilias")
    assert not (tmp_path / "out").exists()


def test_twice_is_the_same_and_leaves_nothing_else(tmp_path):
    given = [one("wrong-1", platform="moodle", number="7"), one("right-1")]
    paths = write(given, tmp_path, layout=LAYOUT, platform="moodle")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert set(before) == set(paths)
    write(reversed(given), tmp_path, layout=LAYOUT, platform="moodle")
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_a_table_of_an_earlier_run_does_not_stay(tmp_path):
    write([one("right-1", chapter="unknown-12", student="unknown-12")], tmp_path, layout=LAYOUT)
    assert (tmp_path / "unplaced.csv").exists()
    write([one("right-1")], tmp_path, layout=LAYOUT)
    assert not (tmp_path / "unplaced.csv").exists()
