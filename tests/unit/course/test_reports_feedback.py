"""Feedback: what the student may read, and nothing that a submission or a hidden check could say."""

import copy
import re
import time
from html.parser import HTMLParser

import pytest
from reports_records import CHAPTERS, LAYOUT, plan, records

from flatlab.course.reports import questions, write
from flatlab.course.reports.wording import course_words, of_exercise

CHAPTER = "00-start-here"
VOID = {"meta", "br", "rect", "path", "link", "img", "hr"}


class Page(HTMLParser):
    """The text of a page; ``odd`` is what makes it no well-formed one."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open, self.odd, self.words, self.tags, self.values = [], [], [], [], []
        self.feed(text)
        self.close()
        self.odd += self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.values += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.values += attrs

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.odd.append(f"</{tag}>")

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def page(folder, student, chapter=CHAPTER) -> Page:
    path = folder / "feedback" / student / chapter / f"{chapter}.html"
    return Page(path.read_text(encoding="utf-8"))


def one(student: str, chapter: str = CHAPTER) -> dict:
    return copy.deepcopy(records(chapter)[student])


@pytest.fixture
def written(tmp_path):
    """Write these records, return the folder."""

    def make(*given: dict):
        write(given, tmp_path, layout=LAYOUT)
        return tmp_path

    return make


def test_points_message_and_what_to_reread(written):
    folder = written(one("wrong-1"), one("right-1"))
    wrong = page(folder, "wrong-1")
    assert wrong.odd == []
    assert "0 of 2 points" in wrong.text and "up to 1 more are given by a person" in wrong.text
    assert "It goes uphill: the gradient points to where the loss grows." in wrong.text
    assert "To reread: section “2 · Predict, implement, check, experiment”." in wrong.text
    assert "To be graded by hand." in wrong.text
    right = page(folder, "right-1")
    assert "1 of 2 points" in right.text and "Right." in right.text
    assert "reread" not in right.text and "uphill" not in right.text


def test_an_exercise_that_is_not_written_is_not_called_wrong(written):
    told = page(written(one("untouched")), "untouched").text
    assert (
        "Not written yet." in told and "Not right" not in told and "hidden check failed" not in told
    )


def test_an_open_question_is_waited_for_empty_or_graded_by_hand(tmp_path):
    waiting, empty = one("right-1"), one("right-2")
    empty["scores"]["open-two-curvatures"].update(score=0.0, nbgrader=0.0)
    given = {("right-3", CHAPTER): {"open-two-curvatures": 0.0}}
    write([waiting, empty, one("right-3")], tmp_path, layout=LAYOUT, by_hand=given)
    assert "To be graded by hand." in page(tmp_path, "right-1").text
    assert "0 of 1 Not written yet." in page(tmp_path, "right-2").text
    assert "0 of 1 Graded by hand." in page(tmp_path, "right-3").text


def test_no_name_and_nothing_of_others(written):
    folder = written(one("wrong-1"), one("wrong-2"))
    text = (folder / "feedback/wrong-1" / CHAPTER / f"{CHAPTER}.html").read_text("utf-8")
    assert "Name of" not in text and "wrong-" not in text
    assert "whole gradient" not in text  # wrong-2's misconception


def test_a_hidden_check_is_told_by_its_aim_alone(written):
    given = one("wrong-1")
    failed = given["exercises"]["gradient_step"]["failed"]
    hidden = [entry for entry in failed if entry["hidden"]]
    assert hidden  # goes uphill in several axes too
    given["exercises"]["gradient_step"]["failed"] = hidden
    told = page(written(given), "wrong-1").text
    assert f"A hidden check failed. It looks at {hidden[0]['aim']}." in told
    assert "uphill" not in told


def test_what_a_person_has_to_look_at_is_said(written):
    given = one("right-1")
    given["scores"]["check-gradient_step"].update(score=None, decided=1.0, needs_look=True)
    assert "It has no score yet: a person will look at it." in page(written(given), "right-1").text
    given["scores"]["check-gradient_step"].update(score=0.0, nbgrader=0.0)
    told = page(written(given), "right-1").text
    assert "A person will look at it, and may change the points." in told
    assert "Right." not in told


def test_what_could_not_be_run_has_no_points_and_not_zero(written):
    given = one("wrong-1") | {"status": "manual", "exercises": {}}
    entry = {"name": "", "outcome": "noted", "how": "", "instructor": ""}
    file = entry | {"subject": "file", "student": "The file is empty."}
    lost = entry | {"subject": "exercise", "student": "We could not find your answer."}
    given |= {"scores": {}, "rebuilt": [file, lost]}
    told = page(written(given), "wrong-1").text
    assert "A person grades this one." in told and "0 of" not in told
    assert "The file is empty." in told and "We could not find" not in told


def test_rebuilding_is_told_in_the_words_for_students(written):
    entry = {"subject": "exercise", "name": "gradient_step", "outcome": "recovered", "how": "name"}
    entry |= {"instructor": "Recovered by name.", "student": "We found your <i>answer</i>."}
    given = one("right-1") | {"rebuilt": [entry, entry]}
    told = page(written(given), "right-1")
    assert told.text.count("We found your <i>answer</i>.") == 1 and "i" not in told.tags
    assert "Recovered by name" not in told.text


HOSTILE = "</li><script>alert(1)</script> \"'&"
SECRET = "the_hidden_line = inputs['w'] * 41.5"


@pytest.mark.parametrize("kind", ["error", "wrong", "topic", "object", "missing", "verdict"])
@pytest.mark.parametrize(
    "said",
    [
        "It stopped with {}",
        "It stopped with ValueError: {}",
        "It returned a {}; a single number is needed.",
        "This is a {}, not a function.",
        "It calls {}, the package's ready answer. Write it yourself.",
        "It calls flatlab.{}, the package's ready answer. Write it yourself.",
        "{}",
        "It returned None: is the return statement missing? {}",
        "It stopped with TypeError: f() missing {} required positional arguments: {}",
        "It stopped with NameError: name '{}' is not defined",
    ],
)
@pytest.mark.parametrize("secret", [SECRET, HOSTILE])
def test_no_text_that_the_submission_can_write(kind, said, secret, written):
    given = one("wrong-1")
    message = f"✗ gradient_step (one step on three weights)\n  {said.replace('{}', secret)}"
    (first, *_) = given["exercises"]["gradient_step"]["failed"]
    given["exercises"]["gradient_step"]["failed"] = [first | {"kind": kind, "message": message}]
    told = page(written(given), "wrong-1")
    assert told.odd == [] and "script" not in told.tags
    for piece in ("hidden_line", "41.5", "alert", "inputs"):
        assert piece not in told.text
    assert "Not right yet." in told.text


def test_errors_are_told_where_their_words_are_pythons_own():
    def told(text):
        failed = {"aim": "a step", "hidden": False, "kind": "error"}
        return of_exercise([failed | {"message": f"✗ f (a step)\n  It stopped with {text}"}])[0]

    assert told("ZeroDivisionError: division by zero") == (
        "a step: It stopped with ZeroDivisionError: division by zero."
    )
    shapes = "RuntimeError: mat1 and mat2 shapes cannot be multiplied (3x4 and 3x4)"
    assert "(3x4 and 3x4)" in told(shapes)
    missing = "TypeError: f() missing 1 required positional argument: 'learning_rate'"
    assert told(missing) == f"a step: It stopped with {missing}."
    assert told("NameError: name 'secret_5520' is not defined").endswith("name '…' is not defined.")
    assert "Run its check in your notebook" in told("Leak: 1234")
    assert "Leak" not in told("Leak: division by zero")


def test_checks_that_were_not_run_are_not_said_to_have_failed():
    def entry(kind, hidden):
        message = f"✗ f (aim)\n  {kind}"
        return {"aim": f"aim {hidden}", "hidden": hidden, "kind": kind, "message": message}

    assert of_exercise([entry("absent", False), entry("absent", True)]) == [
        "Its check could not be run. A person will look at it."
    ]
    assert of_exercise([entry("absent", True)])[0].startswith("Its check could not be run.")
    slow = [entry("timeout", False), entry("skipped", False), entry("skipped", True)]
    assert of_exercise(slow) == ["aim False: It took too long and was stopped."]


def test_gaps_hold_numbers_shapes_types_and_the_courses_own_sentences():
    kept = "It returned shape (3, 4); a tensor of shape (2,) is needed."
    assert course_words(kept) == kept
    assert course_words("It returned a Tensor; a single number is needed.") != ""
    assert course_words("It returned a spy; a single number is needed.") == (
        "It returned a …; a single number is needed."
    )
    assert course_words("The answer to everything is 42.") == ""
    said = "It returned a " + ".".join(["the", "loss", "is", "not", "zero"] * 9)
    assert course_words(f"{said}; a single number is needed.") == (
        "It returned a …; a single number is needed."
    )


@pytest.mark.slow
@pytest.mark.beside
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_visible_messages_reach_the_student_word_by_word(chapter):
    """For every misconception of every exercise: what a check found out is what the student reads."""
    count = 0
    for record in records(chapter).values():
        for exercise in record["exercises"].values():
            visible = [f for f in exercise["failed"] if not f["hidden"]]
            if not visible or visible[0]["kind"] not in ("verdict", "topic"):
                continue
            told = of_exercise(exercise["failed"])[0]
            lines = [line.strip() for line in visible[0]["message"].split("\n")[1:]]
            assert told == f"{visible[0]['aim']}: {' '.join(lines)}"
            count += 1
    assert count >= 4


def pieces(chapter: str) -> set[str]:
    """What only the hidden checks hold or say: lines of their code, their texts, their messages."""
    secret, public = set(), LAYOUT.release(chapter).read_text("utf-8")
    for path in sorted((LAYOUT.root / "flatlab" / "checks").rglob("*.py")):
        public += path.read_text("utf-8")
    for graded in plan(chapter).chapter.graded:
        secret |= {line.strip() for line in graded.hidden_module.split("\n")}
        secret |= set(re.findall(r'"([^"\n{}]{12,})"', graded.hidden_module))
        public += " ".join(check.aim for check in graded.checks)
    for record in records(chapter).values():
        for exercise in record["exercises"].values():
            for failed in exercise["failed"]:
                if failed["hidden"]:
                    secret |= {line.strip() for line in failed["message"].split("\n")}
                else:  # an error may be the same in both
                    public += failed["message"]
    return {piece for piece in secret if len(piece) > 11 and piece not in public}


@pytest.mark.slow
@pytest.mark.beside
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_nothing_of_the_hidden_checks_is_in_any_feedback(chapter, tmp_path):
    secret = pieces(chapter)
    assert len(secret) >= 4
    write(records(chapter).values(), tmp_path, layout=LAYOUT)
    told = [Page(path.read_text("utf-8")) for path in tmp_path.rglob("feedback/**/*.html")]
    assert len(told) == len(records(chapter))
    assert any("A hidden check failed." in one.text for one in told)
    for one_page in told:
        assert one_page.odd == []
        assert [piece for piece in secret if piece in one_page.text] == []
        assert "Traceback" not in one_page.text and "AssertionError" not in one_page.text


def test_every_question_has_title_section_and_points():
    for chapter in CHAPTERS:
        found = questions.read(LAYOUT.release(chapter))
        assert found.title.startswith(chapter[:2])
        for question in found.all:
            assert question.points > 0 and question.section and "●" not in question.title
            assert question.title.startswith("Open question" if question.by_hand else "Exercise ")


_PARTS = (" it says that ", " / ", " is ", ". But ", " times ", " is ", " mod ", ", not ")


@pytest.mark.parametrize(
    "text",
    ["For p = " + "".join(part * 12 for part in _PARTS) + "\0", "The x is NaN. " * 140 + "!"],
    ids=["gaps", "sentences"],
)
def test_a_message_made_to_fit_in_many_ways_is_left_out_at_once(text):
    """It would hang the gradebook and the pages of a whole class."""
    course_words("")
    begin = time.process_time()
    assert len(text) < 2000 and course_words(text) == ""
    assert time.process_time() - begin < 10
