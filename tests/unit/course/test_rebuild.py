"""Rules of rebuilding: what is kept as it is, which of several answers counts, what is said."""

import copy
import json
import re
import time
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell
from tiny_chapter import CONFIG, NAME, SOURCE

from flatlab.course.assemble import assemble
from flatlab.course.rebuild import Release, rebuild
from flatlab.course.release import make_release
from flatlab.course.source import CODE_KINDS, TEXT_KINDS, parse

ANSWER = "def gradient_step(w, gradient, learning_rate):\n    return w - learning_rate * gradient"
WRONG = "def gradient_step(w, gradient, learning_rate):\n    return w + gradient"
MARKER = "# exercise: gradient_step"
WORDS = "Because uphill is the other way."


@pytest.fixture(scope="module")
def release() -> Release:
    solved = assemble(parse(SOURCE, NAME, {**CODE_KINDS, **TEXT_KINDS}))
    return Release(nbformat.reads(make_release(solved, NAME, CONFIG), as_version=4))


@pytest.fixture
def handed(release) -> nbformat.NotebookNode:
    """A student's undamaged notebook."""
    notebook = copy.deepcopy(release.notebook)
    at(notebook, "gradient_step").source = f"{MARKER}\n{ANSWER}"
    cell = at(notebook, "open-why")
    cell.source = cell.source.replace("YOUR ANSWER HERE", WORDS)
    return notebook


def at(notebook, identity: str):
    found = [
        c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") == identity
    ]
    assert len(found) == 1
    return found[0]


def place(notebook, identity: str) -> int:
    return notebook.cells.index(at(notebook, identity))


def again(notebook, release):
    return rebuild(nbformat.writes(notebook).encode(), release)


def told(rebuilt, name: str) -> dict:
    return next(entry for entry in rebuilt.report if entry["name"] == name)


def test_an_undamaged_notebook_comes_back_as_it_is(handed, release):
    rebuilt = again(handed, release)
    assert rebuilt.notebook == handed
    assert rebuilt.manual == []
    assert [e["outcome"] for e in rebuilt.report] == ["intact", "intact"]
    assert all(e["student"] == "" for e in rebuilt.report)


def test_the_untouched_release_is_blank_and_no_case(release):
    rebuilt = again(release.notebook, release)
    assert rebuilt.notebook == release.notebook
    assert [e["outcome"] for e in rebuilt.report] == ["blank", "blank"]
    assert rebuilt.manual == []


def test_the_release_given_is_not_changed(handed, release):
    before = copy.deepcopy(release.notebook)
    again(handed, release)
    assert release.notebook == before


def test_report_and_cases_are_plain_data(handed, release):
    handed.cells.remove(at(handed, "gradient_step"))
    rebuilt = again(handed, release)
    for data in (rebuilt.report, rebuilt.manual):
        assert json.loads(json.dumps(data)) == data


def test_nothing_runs(tmp_path, handed, release):
    target = tmp_path / "ran"
    evil = f"open({str(target)!r}, 'w').close()"
    at(handed, "gradient_step").source = f"{MARKER}\n{evil}\n@exec({evil!r})\n{ANSWER}\n{evil}"
    handed.cells.insert(0, new_code_cell(source=f"import os\nos.system('touch {target}')"))
    at(handed, "check-gradient_step").source = evil
    again(handed, release)
    assert not target.exists()


def test_an_honest_syntax_error_stays_and_is_no_case(handed, release):
    at(handed, "gradient_step").source = f"{MARKER}\ndef gradient_step(w:\n    return"
    rebuilt = again(handed, release)
    assert rebuilt.notebook == handed
    assert rebuilt.manual == []


def test_locked_cells_are_the_releases(handed, release):
    at(handed, "check-gradient_step").source = "print('passed')"
    at(handed, "setup").source += "\ncheck = None"
    rebuilt = again(handed, release)
    assert at(rebuilt.notebook, "check-gradient_step") == at(
        release.notebook, "check-gradient_step"
    )
    assert at(rebuilt.notebook, "setup") == at(release.notebook, "setup")
    edited = told(rebuilt, "edited")
    assert "check gradient_step" in edited["instructor"] and "setup" in edited["student"]


def test_a_deleted_answer_is_a_named_case(handed, release):
    handed.cells.remove(at(handed, "gradient_step"))
    rebuilt = again(handed, release)
    assert told(rebuilt, "gradient_step")["outcome"] == "lost"
    assert [(c["name"], c["reason"]) for c in rebuilt.manual] == [("gradient_step", "lost")]
    assert "person" in told(rebuilt, "gradient_step")["student"]


def test_the_last_answer_before_the_check_counts(handed, release):
    i = place(handed, "gradient_step")
    first, last = copy.deepcopy(handed.cells[i]), copy.deepcopy(handed.cells[i])
    first.source, last.source = f"{MARKER}\n{WRONG}", f"{MARKER}\n{WRONG}  # later"
    first.id, last.id = "a", "b"
    handed.cells = [first, *handed.cells, last]
    rebuilt = again(handed, release)
    assert at(rebuilt.notebook, "gradient_step").source == f"{MARKER}\n{ANSWER}"
    (case,) = rebuilt.manual
    assert case["reason"] == "ambiguous" and ANSWER in case["texts"] and WRONG in case["texts"]


def test_equal_copies_are_no_case(handed, release):
    i = place(handed, "gradient_step")
    twin = copy.deepcopy(handed.cells[i])
    twin.id, twin.source = "twin", twin.source + "   # the same"
    handed.cells.insert(i + 1, twin)
    assert again(handed, release).manual == []


def test_a_draft_in_an_own_cell_does_not_count_nor_run(handed, release):
    handed.cells.insert(place(handed, "gradient_step"), new_code_cell(source=WRONG))
    rebuilt = again(handed, release)
    assert at(rebuilt.notebook, "gradient_step").source == f"{MARKER}\n{ANSWER}"
    assert rebuilt.manual == []
    assert not any(WRONG in cell.source for cell in rebuilt.notebook.cells)


def test_an_answer_in_an_own_cell_is_found_by_its_name(handed, release):
    i = place(handed, "gradient_step")
    handed.cells[i].source = at(release.notebook, "gradient_step").source
    handed.cells.insert(i + 1, new_code_cell(source=ANSWER))
    rebuilt = again(handed, release)
    assert at(rebuilt.notebook, "gradient_step").source == f"{MARKER}\n{ANSWER}"
    assert told(rebuilt, "gradient_step")["how"] == "name"


def test_a_wrapped_answer_keeps_its_wrapper(handed, release):
    i = place(handed, "gradient_step")
    handed.cells.insert(
        i + 1, new_code_cell(source="gradient_step = torch.no_grad()(gradient_step)")
    )
    source = at(again(handed, release).notebook, "gradient_step").source
    assert source == f"{MARKER}\n{ANSWER}\ngradient_step = torch.no_grad()(gradient_step)"


def test_own_cells_stay_where_they_stood(handed, release):
    i = place(handed, "gradient_step")
    handed.cells.insert(i + 1, new_code_cell(source="print(gradient_step(1, 2, 3))"))
    handed.cells.insert(i, new_markdown_cell(source="My note."))
    handed.cells.insert(0, new_code_cell(source="import numpy as np\nnp.random.seed(0)"))
    rebuilt = again(handed, release)
    assert [c.source for c in rebuilt.notebook.cells] == [c.source for c in handed.cells]


@pytest.mark.parametrize("where", ["end", "check", "setup", "markdown"])
def test_what_an_answer_needs_is_there_before_its_check(where, handed, release):
    uses = "def gradient_step(w, gradient, learning_rate):\n    return step(w, gradient, learning_rate)"
    helper = "SIGN = -1\n\ndef step(w, g, r):\n    return w + SIGN * r * g"
    at(handed, "gradient_step").source = f"{MARKER}\n{uses}"
    if where == "end":
        handed.cells += [new_code_cell(source=helper)]
    elif where == "markdown":
        handed.cells.insert(2, new_markdown_cell(source=f"```python\n{helper}\n```"))
    else:
        at(handed, "setup" if where == "setup" else "check-gradient_step").source += f"\n{helper}"
    rebuilt = again(handed, release)
    space = {"torch": None}
    for cell in rebuilt.notebook.cells[: place(rebuilt.notebook, "check-gradient_step")]:
        if cell.cell_type == "code" and ("SIGN" in cell.source or "gradient_step" in cell.source):
            exec(cell.source, space)  # noqa: S102 - this test's own text
    assert space["gradient_step"](5, 2, 0.5) == 4
    assert [c for c in rebuilt.manual if c["reason"] != "incomplete"] == []


def test_a_name_that_nothing_defines_is_a_case(handed, release):
    at(handed, "gradient_step").source = f"{MARKER}\n{ANSWER} + missing_helper(w)"
    (case,) = again(handed, release).manual
    assert (case["name"], case["reason"]) == ("gradient_step", "incomplete")
    assert "missing_helper" in case["instructor"]


def test_two_versions_of_words_are_both_there(handed, release):
    i = place(handed, "open-why")
    other = copy.deepcopy(handed.cells[i])
    other.id, other.source = "other", other.source.replace(WORDS, "I changed my mind.")
    handed.cells.insert(i + 1, other)
    rebuilt = again(handed, release)
    source = at(rebuilt.notebook, "open-why").source
    assert WORDS in source and "I changed my mind." in source
    assert [(c["name"], c["reason"]) for c in rebuilt.manual] == [("why", "ambiguous")]


def test_words_in_a_cell_below_the_empty_one_are_found(handed, release):
    i = place(handed, "open-why")
    handed.cells[i].source = at(release.notebook, "open-why").source
    handed.cells.insert(i + 1, new_markdown_cell(source=WORDS))
    rebuilt = again(handed, release)
    assert WORDS in at(rebuilt.notebook, "open-why").source
    assert told(rebuilt, "why")["outcome"] == "recovered"


@pytest.mark.parametrize("words", [WORDS, "Since 2/a = 4: each step is more than twice too long."])
def test_exchanged_ids_do_not_count_where_no_marker_is_left(words, handed, release):
    code, text = at(handed, "gradient_step"), at(handed, "open-why")
    code.source, text.source = ANSWER, words
    one, other = code.metadata["nbgrader"], text.metadata["nbgrader"]
    one["grade_id"], other["grade_id"] = other["grade_id"], one["grade_id"]
    rebuilt = again(handed, release)
    assert ANSWER in at(rebuilt.notebook, "gradient_step").source
    assert words in at(rebuilt.notebook, "open-why").source
    assert not rebuilt.manual


def test_a_prediction_is_kept_and_code_in_its_place_is_not(handed, release):
    i = next(i for i, c in enumerate(handed.cells) if c.source.startswith("# predict"))
    handed.cells[i].source = handed.cells[i].source.replace("...", '"up"')
    assert again(handed, release).notebook.cells[i].source == handed.cells[i].source
    handed.cells[i].source = handed.cells[i].source.replace('"up"', "print('x')")
    assert again(handed, release).notebook.cells[i] == release.notebook.cells[i]


def test_cell_magic_above_the_marker_stays_on_top(handed, release):
    at(handed, "gradient_step").source = f"%%time\n{MARKER}\n{ANSWER}"
    assert again(handed, release).notebook == handed


def test_a_cell_for_the_shell_is_no_answer(release):
    other = copy.deepcopy(release.notebook)
    other.cells.insert(place(other, "gradient_step") + 1, new_code_cell("%%bash\necho mine"))
    found = told(again(other, release), "gradient_step")
    assert found["outcome"] == "blank"


def test_a_cut_answer_is_a_case_with_what_is_left(handed, release):
    text = nbformat.writes(handed)
    text = text[: text.index("return w - learning_rate * gradient") + 12]
    rebuilt = rebuild(text.encode(), release)
    cases = {c["name"]: c for c in rebuilt.manual}
    assert cases["gradient_step"]["reason"] == "damaged"
    assert "return w - l" in cases["gradient_step"]["texts"][0]
    assert cases["why"]["reason"] == "lost" and "ends too early" in cases["why"]["instructor"]


def test_own_code_that_the_file_ends_in_is_no_part_of_the_words_before_it(handed, release):
    end = place(handed, "open-why") + 1
    handed.cells[end:] = [
        new_code_cell(source="import math\n\n\ndef mine(x):\n    y = x / math.pi")
    ]
    text = nbformat.writes(handed)
    rebuilt = rebuild(text[: text.index("math.pi")].encode(), release)
    assert told(rebuilt, "why")["outcome"] == "intact"
    assert "mine" not in at(rebuilt.notebook, "open-why").source


@pytest.mark.parametrize("data", [b"", b"no notebook", b"PK\3\4", b"\xff" * 999, b'{"cells": []}'])
def test_an_unreadable_file_loses_everything_by_name(data, release):
    rebuilt = rebuild(data, release)
    assert rebuilt.notebook == release.notebook
    assert {c["name"] for c in rebuilt.manual} == {"gradient_step", "why"}
    assert any(e["subject"] == "file" for e in rebuilt.report)


def test_a_deep_or_huge_answer_does_not_stop_it(handed, release):
    for body in ("(" * 5000, "-" * 20_000 + "1", "x = " + "[" * 300 + "]" * 300, "a\n" * 50_000):
        at(handed, "gradient_step").source = f"{MARKER}\n{body}"
        assert len(again(handed, release).notebook.cells) >= len(release.slots)


def test_a_notebook_without_exercises_is_no_release():
    notebook = nbformat.v4.new_notebook(cells=[new_code_cell(source="x = 1")])
    with pytest.raises(ValueError, match="flatlab build"):
        rebuild(b"{}", notebook)


def test_paths_are_read(tmp_path, handed, release):
    handed_in, released = tmp_path / "renamed (2).ipynb", tmp_path / "release.ipynb"
    nbformat.write(handed, handed_in)
    nbformat.write(release.notebook, released)
    assert rebuild(handed_in, released).notebook == handed
    with pytest.raises(OSError, match="none"):
        rebuild(Path(tmp_path / "none.ipynb"), released)


def test_students_read_no_other_answer_and_no_jargon(handed, release):
    handed.cells.remove(at(handed, "gradient_step"))
    for entry in again(handed, release).report:
        assert not re.search(r"stub|marker|metadata|grade_id|JSON", entry["student"])


@pytest.mark.parametrize(
    "text",
    [
        *("# check: a" + " " * 20_000 + "b", "x = 1\n" + " " * 50_000 + "#", "\n" * 50_000 + "x"),
        *("a" * 50_000 + " =", "a" * 50_000 + "!", "a, " * 20_000),
    ],
    ids=["marker", "indented comment", "empty lines", "word", "word and sign", "names"],
)
def test_no_text_takes_an_expression_forever(text, handed, release):
    """Hours where an expression tries every way to part the text: no limit of the grader is there."""
    begin = time.process_time()
    handed.cells.append(new_code_cell(text))
    at(handed, "gradient_step").source = f"{MARKER}\n{text}"
    again(handed, release)
    assert time.process_time() - begin < 10


@pytest.mark.parametrize(
    "scratch",
    ["(gradient_step(w, g, 0.1) - w).abs().max() < 1", "[gradient_step(w, g, 0.1), w]"],
)
def test_an_expression_below_an_answer_is_no_part_of_it(scratch, handed, release):
    i = place(handed, "gradient_step")
    handed.cells.insert(i, new_code_cell("w = torch.ones(2)\ng = 2 * w"))
    handed.cells.insert(i + 2, new_code_cell(scratch))
    rebuilt = again(handed, release)
    assert at(rebuilt.notebook, "gradient_step").source == f"{MARKER}\n{ANSWER}"
    assert told(rebuilt, "gradient_step")["outcome"] == "intact"


@pytest.mark.parametrize("line", ["# import tensorflow as tf", "# @torch.no_grad()"])
def test_what_is_commented_out_stays_so(line, handed, release):
    at(handed, "gradient_step").source = f"{MARKER}\n{line}\n{ANSWER}"
    assert again(handed, release).notebook == handed


def test_a_longer_copy_behind_the_check_does_not_count(handed, release):
    handed.cells.append(new_code_cell(f"{ANSWER}\n\ngradient_step = None"))
    rebuilt = again(handed, release)
    assert at(rebuilt.notebook, "gradient_step").source == f"{MARKER}\n{ANSWER}"
    assert told(rebuilt, "gradient_step")["outcome"] == "intact"


def test_pasted_pictures_stay(handed, release):
    cell = at(handed, "open-why")
    cell.source += "\n\n![p.png](attachment:p.png)"
    cell["attachments"] = {"p.png": {"image/png": "iVBORw0KGgo="}}
    assert at(again(handed, release).notebook, "open-why") == cell


def test_a_flood_of_halves_ends(handed, release):
    begin = time.process_time()
    halves = [new_code_cell(f"    c{i} = b{i} + 1\n    return c{i}") for i in range(150)]
    homes = [new_code_cell(f"def f{i}(a{i}):\n    b{i} = a{i}") for i in range(150)]
    handed.cells = [*halves, *homes, *handed.cells]
    again(handed, release)
    assert time.process_time() - begin < 60


def test_a_flood_of_answers_ends(handed, release):
    """The time grows with the square of the number of cells: a minute for 3000 answers."""
    begin = time.process_time()
    handed.cells += [new_code_cell(f"{MARKER}\n{ANSWER}\n# {i}") for i in range(6000)]
    again(handed, release)
    assert time.process_time() - begin < 20


def test_more_text_than_anybody_writes_is_not_read(handed, release):
    handed.cells += [new_code_cell("x = 1\n" * 100_000) for _ in range(8)]
    (line,) = [entry for entry in again(handed, release).report if entry["name"] == "unreadable"]
    assert "4,000,000 characters" in line["instructor"]


def test_a_deep_prediction_does_not_stop_it(handed, release):
    cell = next(c for c in handed.cells if c.source.startswith("# predict"))
    cell.source = cell.source.split("\n")[0] + "\na" + ".b" * 900 + "()"
    assert len(again(handed, release).notebook.cells) == len(release.slots)
