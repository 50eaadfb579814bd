"""Each rule of the chapter contract refuses a chapter that breaks it, and says where."""

import pytest
from tiny_chapter import CASES, NAME, SOURCE, course

from flatlab.course.contract import source_problems
from flatlab.course.layout import Layout


def problems(tmp_path, source=SOURCE, cases=CASES):
    return source_problems(Layout(course(tmp_path, source, cases)), NAME)


def changed(text, old, new):
    assert text.count(old) >= 1, f"{old!r} is not in the tiny chapter"
    return text.replace(old, new, 1)


def test_the_tiny_chapter_keeps_the_contract(tmp_path):
    assert problems(tmp_path) == []


EXERCISE = '# %% exercise="gradient_step"\n'
CHECK = '# %% check="gradient_step" points=2\n'
PREDICT = 'predict("way", ["up", "down"], ...)'
EXPERIMENT = '# %% experiment="walk" compare=true\n'
MIDDLE = "# %% folded\n"
GRADED = [
    (CHECK, "# %%\n", "its check must be the next cell"),
    (" points=2\n", "\n", "no points: write points=N"),
    (" points=2\n", " points=0\n", "no points: write points=N"),
    (" points=2\n", ' points="2"\n', "no points: write points=N"),
    ("### END HIDDEN TESTS\n", "", "BEGIN HIDDEN TESTS on line 2 of the cell is never ended"),
    ("    ### BEGIN SOLUTION\n", "", "END SOLUTION on line 5 of the cell without its BEGIN"),
    ("    ### END SOLUTION\n", "", "is never ended"),
    ("check.gradient_step.grade(gradient_step)\n", "", "the hidden tests are never run"),
    ("check.gradient_step(gradient_step)\n", "", "the visible part must call"),
    ('    """w after one step of gradient descent; same shape as w."""\n', "", "no docstring"),
    ("def gradient_step(", "def step(", "it does not define gradient_step"),
    ("w + downhill", "w +", "is no Python"),
    (
        "check.gradient_step.grade(",
        'T = """a\nb"""\ncheck.gradient_step.grade(',
        "of several lines",
    ),
    ('.hidden("a tensor with several axes")', '.hidden("surprise")', "not promised in"),
    ('.hidden("a tensor with several axes")', '.hidden("surprise")', "but not written here"),
    ("# The gradient points uphill, where the loss grows.\n", "", "no model answer"),
    ('open="why" points=4', 'open="why"', "no points"),
    ("# %% settings\n", "# %%\n", "exactly one settings cell is needed"),
    ("# %% settings\n", "# %% setup\n", "exactly one setup cell is needed; found line"),
    ("# %% setup\n", "# %% folded\nhelp\n\n# %% setup\n", "the first code cell must be the setup"),
    (MIDDLE, f"{EXERCISE}1\n\n{MIDDLE}", "the id 'gradient_step' is used 2 times"),
    (MIDDLE, f"{EXPERIMENT}1\n\n{MIDDLE}", "the id 'experiment-walk' is used 2 times"),
    (MIDDLE, '# %% check="lost" points=1\n1\n\n' + MIDDLE, "there is no exercise 'lost'"),
    (MIDDLE, f"{MIDDLE}### BEGIN SOLUTION\n### END SOLUTION\n", "a solution region outside"),
    (MIDDLE, f"{MIDDLE}### BEGIN HIDDEN TESTS\n### END HIDDEN TESTS\n", "a hidden-test region out"),
    ("chapter00 as check, ready", "chapter01 as check, ready", "the setup cell lacks the line"),
]
TEXT = [
    ("# # A tiny chapter", "# A tiny chapter", "lacks a title"),
    ("After this chapter you can", "You can", "'After this chapter you can' and a list"),
    ("# - and know it.\n", "", "'After this chapter you can' and a list"),
    ("**Time:** ≈ 15 min", "", "its total time"),
    ("**Time:** ≈ 15 min", "**Time:** ≈ 20 min", "stated time 20 min; the sections add up to 15"),
    ("**Prerequisites:** none.", "", "its prerequisites"),
    ("**Slides:** the first.", "", "the slides it follows"),
    ("## 1 · Downhill (≈ 15 min)", "## 1 · Downhill", "write '## N · Title (≈ M min)'"),
    ("## 1 · Downhill (≈ 15 min)", "## Downhill", "no numbered section"),
    (" · 4 min", " · 40 min", "its exercises take 40 min, the section 15 min"),
    ("### Exercise 1", "#### Exercise 1", "has level 4 under level 2; use ###"),
    ("## Summary", "# Summary", "a second title"),
    ("### Exercise 1 ·", "### Exercise 2 ·", "its heading says Exercise 2; it is number 1"),
    ("### Exercise 1 ·", "### Task ·", "the text before it needs a heading"),
    ("●○○○", "●○○", "difficulty ●○○ has 3 signs"),
    (" · 2 points ·", " · 3 points ·", "its heading says 3 points, its check 2"),
    ("<details><summary>Hint</summary>Minus.</details>", "", "no folded hint"),
    ("Write `gradient_step(w,", "Write `step(w,", "its text does not name `gradient_step(...)`"),
    ('# %% predict="way"\n', "# %%\n", "no predict cell"),
    ("## Further reading", "## More", "no 'Further reading'"),
    ('reveal({"way": "down"})', "1", "no reveal(...)"),
    ('reveal({"way": "down"})', 'reveal({"wax": "down"})', "no reveal(...) tells its outcome"),
    ("# Which way?", "# See /home/me/notes.", "an absolute path: /home/me/notes."),
    ("# Which way?", "# TODO: ask", "unfinished: TODO: ask"),
    ("# Which way?", "# ![plot](https://example.org/x.png)", "a picture with alt text 'plot'"),
]
FIXED = "The loss against the step: it falls and falls."
CODE = [
    ("def helper():", "def helper(:", "line"),
    (PREDICT, 'predict("way", ["up", "down"], "down")', "for the student to replace"),
    (PREDICT, 'predict("wy", ["up", "down"], ...)', 'it must call predict("way", options, ...)'),
    ("(1, 3, 9)", "(1, 3)", "needs three values: quick, laptop, paper"),
    ("chosen = settings(", "chosen = dict(", "call settings("),
    ("    return 1\n", '    if scale == "quick":\n        pass\n', "a branch on the scale"),
    ("    return 1\n", "    return 1 if settings.scale else 2\n", "a branch on the scale"),
    ("    return 1\n", '    return open("/data/x.csv")\n', "an absolute path: '/data/x.csv'"),
    ("    return 1\n", '    return open("C:\\\\x.csv")\n', "an absolute path"),
    ("    return 1\n", "    return sys.path\n", "it touches sys.path"),
    ("    return 1\n", "    plt.show()\n", "plt.show() gives no alt text"),
    ("    return 1\n", "    plots.show(fig)\n", "plots.show without alt=..."),
    ("    return 1\n", '    plots.show(fig, alt="A plot")\n', "alt text 'A plot' does not say"),
    (
        "    return 1\n",
        f'    plots.show(fig, alt="{FIXED}")\n',
        "the alt text is fixed: name values",
    ),
    ("    print(w.tolist())\n", "    plots.show(w, alt=told)\n", "in a cell with compare=true"),
    ("if ready(gradient_step):", "if True:", "put it behind `if ready(gradient_step):`"),
    (PREDICT, f"{PREDICT}\n\n# %%\ngradient_step", "which is an exercise further down"),
]
USED = "    print(w.tolist())\n"
NAMES = [
    ("import torch\n", "", "torch is not there"),
    ("check.gradient_step.grade", "import math\ncheck.gradient_step.grade", None),
    ("    return 1\n", "    return Hidden1()\n", "Hidden1 is not there: nothing that a check"),
    ("    return 1\n", "    return math.pi\n", "math is not there"),
    ("    return 1\n", "    return w\n", "w is there only when these are solved: gradient_step"),
    ("    return w + downhill", "    return w + downhill * scaled", "scaled is not there"),
    (USED, f"{USED}print(w)\n", "w is there only when these are solved: gradient_step"),
    (USED, f"{USED}later = 1\n", None),
    (USED, "    print([v for v in w], (lambda u: u)(w), __name__)\n", None),
]


@pytest.mark.parametrize(("old", "new", "message"), NAMES)
def test_names_that_may_be_missing(tmp_path, old, new, message):
    found = problems(tmp_path, changed(SOURCE, old, new))
    assert (message is None) == (found == []), found
    assert message is None or any(message in problem for problem in found)


def test_a_name_made_by_a_solution_is_not_there_for_the_student(tmp_path):
    helper = "### BEGIN SOLUTION\ndef helping():\n    return 1\n\n### END SOLUTION\n"
    source = changed(SOURCE, "def gradient_step(", f"{helper}def gradient_step(")
    assert problems(tmp_path, source) == []
    source = changed(
        source,
        "    return 1\n\n\n# %% [markdown] open",
        "    return helping()\n\n\n# %% [markdown] open",
    )
    assert any("helping is not there" in problem for problem in problems(tmp_path / "b", source))


@pytest.mark.parametrize(("old", "new", "message"), GRADED + TEXT + CODE)
def test_a_broken_rule_is_named(tmp_path, old, new, message):
    found = problems(tmp_path, changed(SOURCE, old, new))
    assert any(message in problem for problem in found), found
    assert all(problem.startswith((NAME, "tests/grading/cases")) for problem in found)


def test_a_problem_names_cell_and_line(tmp_path):
    source = changed(SOURCE, "    return 1\n", "    return '/data/x'\n")
    (problem,) = problems(tmp_path, source)
    line = source.split("\n").index("    return '/data/x'") + 1
    assert problem.startswith(f"{NAME}, cell 10 (folded, line {line - 2}): line {line}: ")


def test_all_problems_come_at_once(tmp_path):
    source = changed(SOURCE, "### Exercise 1", "#### Exercise 1")
    source = changed(source, " points=2\n", "\n")
    assert len(problems(tmp_path, source)) >= 2


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name="along-w" message="along w"', 'name="uphill" message="along w"', "the same name"),
        (' message="along w"', "", "no message"),
        (' name="along-w"', "", "no name"),
        ('misconception="gradient_step" name="along-w"', 'misconception="x" name="y"', "3 misconc"),
        (
            'misconception="gradient_step" name="along-w"',
            'misconception="x" name="y"',
            "no exercise",
        ),
        ('alternative="gradient_step" name="lambda"', 'alternative="x" name="y"', "1 alternatives"),
        ("gradient_step = lambda", "step = lambda", "it does not define gradient_step"),
        ("return w - gradient", "return w -", "is no Python"),
        ("# %% alternative", "# %% riddle", "unknown"),
    ],
)
def test_cases_that_do_not_fit(tmp_path, old, new, message):
    found = problems(tmp_path, cases=changed(CASES, old, new))
    assert any(message in problem for problem in found), found


def test_a_chapter_of_the_course_has_five_to_eight_exercises_and_an_open_question(tmp_path):
    source = SOURCE.replace("chapter00 as check", "chapter01 as check")
    root = course(tmp_path, source)
    for path in (root / "solutions" / f"{NAME}.py", root / "tests/grading/cases" / f"{NAME}.py"):
        path.rename(path.with_name("01-tiny.py"))
    found = source_problems(Layout(root), "01-tiny")
    assert "01-tiny: 1 exercises; 5 to 8 wanted." in found
    assert any("flatlab.checks.chapter01 has no exercise 'gradient_step'" in p for p in found)
