"""docs/instructors.md: its commands exist, its numbers are the code's, its links lead somewhere."""

import re
import shlex
from collections import defaultdict
from pathlib import Path

import click
import pytest

from flatlab.course.cli import main
from flatlab.course.grading import Limits
from flatlab.course.layout import Layout
from flatlab.course.reports import write
from flatlab.course.verdict import trusted

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "instructors.md").read_text(encoding="utf-8")
LAYOUT = Layout(ROOT)


def commands() -> list[list[str]]:
    """Every ``flatlab ...`` of the page, in code blocks and in the text."""
    lines = re.findall(r"```[a-z]*\n(.*?)```", PAGE, flags=re.DOTALL)
    found = [line.lstrip("$ ") for block in lines for line in block.split("\n")]
    found += re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL))
    words = [shlex.split(text, comments=True) for text in found if "flatlab " in text]
    return [w[1:] for w in words if w and w[0] in ("flatlab", ".venv/bin/flatlab")]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_commands_exist_with_their_options(words):
    context = click.Context(main)
    command = main.get_command(context, words[0])
    assert command is not None
    options = {name: p for p in command.params for name in p.opts}
    for place, word in enumerate(words):
        if word.startswith("-"):
            assert word in options
            choices = getattr(options[word].type, "choices", None)
            assert not choices or words[place + 1] in choices


def test_the_page_has_commands():
    assert {words[0] for words in commands()} == {
        *(
            "build",
            "bundle",
            "check",
            "doctor",
            "grade",
            "hint",
            "progress",
            "rehearse",
            "release",
            "submit",
        ),
    }


def test_every_option_of_grade_is_on_the_page():
    context = click.Context(main)
    for option in main.get_command(context, "grade").params:
        if isinstance(option, click.Option) and option.name != "help":
            assert any(name in PAGE for name in option.opts), option.name


def test_links_lead_somewhere():
    targets = [t for t in re.findall(r"\]\(([^)#]+)\)", PAGE) if "://" not in t]
    assert targets
    assert [t for t in targets if not (ROOT / "docs" / t).exists()] == []


def test_paths_of_tests_are_there():
    paths = re.findall(r"`pytest ([^`]+)`", PAGE)
    assert len(paths) >= 2
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_limits_are_the_defaults():
    limits = Limits()
    for name in ("cell_seconds", "total_seconds", "memory", "total_memory", "processes"):
        assert f"`{name}={getattr(limits, name):g}`" in PAGE


def test_the_files_it_names_are_those_that_are_written():
    documented = write.__doc__
    for name in ("CHAPTER.csv", "CHAPTER.html", "feedback/STUDENT/CHAPTER/CHAPTER.html"):
        assert f"`{name}`" in PAGE and name in documented
    assert "`unplaced.csv`" in PAGE


def rows() -> str:
    """The table of what a submission could forge, a line an exercise."""
    lines = ["| chapter | exercise | checks | rest on |", "|---|---|---|---|"]
    for chapter in LAYOUT.chapters():
        count, names = defaultdict(int), defaultdict(dict)
        for entry in trusted(LAYOUT.source(chapter)):
            count[entry["exercise"]] += 1
            names[entry["exercise"]] |= dict.fromkeys(entry["on"])
        for name, number in count.items():
            said = ", ".join(f"`{on}`" for on in names[name])
            lines.append(f"| {chapter[:2]} | `{name}` | {number} | {said} |")
    return "\n".join(lines)


@pytest.mark.slow
@pytest.mark.beside
def test_the_table_of_what_can_be_forged_is_the_codes():
    shown = re.search(r"<!-- trusted:.*?-->\n(.*?)\n<!-- end", PAGE, flags=re.DOTALL)[1]
    made = rows()
    print(made)
    assert shown == made
