"""The students' zip: what is in it, what must not be, and that it runs where nothing else is."""

import json
import re
import shlex
import shutil
import subprocess
import zipfile
from pathlib import Path

import nbformat
import pytest
import yaml
from click.testing import CliRunner
from leaks import leaks, strings
from outside import environment, output

from flatlab.course import build
from flatlab.course.bundle import bundle
from flatlab.course.cli import main
from flatlab.course.handout import Course
from flatlab.course.layout import Layout, Refused
from flatlab.course.source import read_chapter, regions
from flatlab.student.chapter import outline
from flatlab.student.cli import main as students

TOP = "flatlab-0.1.0"
FILES = (
    "LICENSE",
    "LICENSE-text",
    "README.md",
    "constraints.txt",
    "docs/start.md",
    "environment.yml",
    "pyproject.toml",
)
WHEEL = "flatlab-0.1.0-py3-none-any.whl"
CHAPTERS = Layout(Path(__file__).parents[2]).chapters()


@pytest.fixture(scope="module")
def layout(repository) -> Layout:
    return Layout(repository)


@pytest.fixture(scope="module")
def packed(layout, tmp_path_factory) -> Path:
    """The zip of the whole course; that its releases are up to date is tested elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "check", lambda chapters, root: [])
        (path,) = bundle(Course(layout), tmp_path_factory.mktemp("out"))
        return path


@pytest.fixture(scope="module")
def unpacked(packed, tmp_path_factory) -> Path:
    """The zip as a student unpacks it, its wheel unpacked beside it."""
    folder = tmp_path_factory.mktemp("student")
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(folder)
    with zipfile.ZipFile(folder / TOP / WHEEL) as archive:
        archive.extractall(folder / "wheel")
    return folder


def test_the_zip_holds_what_a_student_needs_and_nothing_else(packed):
    assert packed.name == f"{TOP}-students.zip"
    with zipfile.ZipFile(packed) as archive:
        names = archive.namelist()
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    files = ["LICENSE", "LICENSE-text", "START.md", "constraints.txt", "environment.yml", WHEEL]
    notebooks = [f"notebooks/{name}/{name}.ipynb" for name in CHAPTERS]
    assert names == sorted(f"{TOP}/{name}" for name in [*files, *notebooks])


def test_the_wheel_is_the_package_without_the_instructors_room(unpacked, repository):
    def package(folder: Path) -> dict[str, bytes]:
        return {
            str(path.relative_to(folder)): path.read_bytes()
            for path in (folder / "flatlab").rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }

    whole = package(repository)
    room = {name for name in whole if name.startswith("flatlab/course/")}
    assert len(room) > 50
    expected = {name: data for name, data in whole.items() if name not in room}
    assert package(unpacked / "wheel") == expected


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_no_notebook_holds_a_line_of_a_solution_or_hidden_test(unpacked, layout, chapter):
    release = unpacked / TOP / "notebooks" / chapter / f"{chapter}.ipynb"
    found, looked_for = leaks(layout.source(chapter), release)
    assert found == []
    assert looked_for >= 5


def hidden_lines(layout: Layout) -> list[str]:
    """Of each hidden test the line that is its own: that which names its aim."""
    secret = [
        line.strip()
        for chapter in CHAPTERS
        for cell in read_chapter(layout.source(chapter)).of("check")
        for line in regions(cell.text, "HIDDEN TESTS").text.split("\n")
        if ".hidden(" in line
    ]
    assert len(secret) > 5 * len(CHAPTERS)
    return secret


def test_no_file_holds_a_hidden_test(unpacked, layout):
    """Notebooks as their strings."""
    texts = {}
    for path in unpacked.rglob("*"):
        if path.suffix == ".ipynb":
            found = strings(json.loads(path.read_text(encoding="utf-8")))
            texts[path.name] = "\n".join(found)
        elif path.suffix in (".py", ".md", ".yml", ".txt", ".json") or path.name == "METADATA":
            texts[str(path.relative_to(unpacked))] = path.read_text(encoding="utf-8")
    assert len(texts) > 100
    secret = hidden_lines(layout)
    for name, text in texts.items():
        assert not [line for line in secret if line in text], name
        assert "### BEGIN SOLUTION" not in text, name
        assert "### BEGIN HIDDEN" not in text, name


def test_what_the_instructors_page_publishes_holds_no_secret(layout, tmp_path):
    """The `git archive` of docs/instructors.md, run as it stands there."""
    page = (layout.root / "docs" / "instructors.md").read_text(encoding="utf-8")
    (line,) = [line for line in page.splitlines() if line.startswith("git archive ")]
    words = shlex.split(line)
    words[words.index("course.zip")] = str(tmp_path / "course.zip")
    if subprocess.run(words, cwd=layout.root, capture_output=True, check=False).returncode:
        pytest.skip("this is no git checkout")
    with zipfile.ZipFile(tmp_path / "course.zip") as archive:
        archive.extractall(tmp_path / "course")
    folder = tmp_path / "course"
    assert {"flatlab", "notebooks", "pyproject.toml"} < {path.name for path in folder.iterdir()}
    for chapter in CHAPTERS:
        release = folder / "notebooks" / chapter / f"{chapter}.ipynb"
        assert leaks(layout.source(chapter), release)[0] == []
    secret = hidden_lines(layout)
    for path in folder.rglob("*"):
        if path.suffix in (".py", ".md", ".toml", ".ipynb", ".json"):
            text = path.read_text(encoding="utf-8")
            assert not [line for line in secret if line in text], path
    assert not [path for path in folder.rglob("*") if path.name in ("course.toml", "students.csv")]


def test_the_page_and_the_environment_name_what_is_there(unpacked, repository):
    folder = unpacked / TOP
    ours, theirs = (
        yaml.safe_load((place / "environment.yml").read_text(encoding="utf-8"))
        for place in (repository, folder)
    )
    assert theirs["dependencies"].pop() == {"pip": [f"./{WHEEL}"]}
    assert ours["dependencies"].pop() == {"pip": ["-e ."]}
    assert theirs == ours
    page = (folder / "START.md").read_text(encoding="utf-8")
    assert page.count(WHEEL) == 3
    assert re.findall(r"[\w.-]+\.whl", page) == [WHEEL] * 3
    files = re.findall(r"(?:-f|-c) (\S+)", page)
    assert files == ["environment.yml", "constraints.txt"]
    assert all((folder / name).is_file() for name in files)
    commands = re.findall(r"^flatlab (\w+)", page, flags=re.MULTILINE)
    assert set(commands) == set(students.commands)


def test_what_is_out_of_date_is_refused(layout, tmp_path, monkeypatch):
    asked = []

    def check(chapters, root):
        asked.append((chapters, root))
        return ["01-x: out of date"]

    monkeypatch.setattr(build, "check", check)
    monkeypatch.chdir(layout.root)
    result = CliRunner().invoke(main, ["bundle", "--out", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert result.output == "01-x: out of date\n"
    assert asked == [(layout.chapters(), layout.root)]
    assert not (tmp_path / "out").exists()


def test_a_start_page_of_another_version_is_refused(layout, tmp_path, monkeypatch):
    monkeypatch.setattr(build, "check", lambda chapters, root: [])
    newer = tmp_path / "flatlab-9.9-py3-none-any.whl"
    newer.write_bytes(b"-")
    monkeypatch.setattr("flatlab.course.bundle.students_wheel", lambda root, out: newer)
    with pytest.raises(Refused, match=r"start.md does not hold 'flatlab-9.9-.*put it in"):
        bundle(Course(layout), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_course_toml_decides_what_is_handed_out(layout, tmp_path, monkeypatch):
    file = tmp_path / "course.toml"
    file.write_text('[chapters.00]\n\n[chapters.01]\nexercises = ["hvp"]\nquestions = []\n')
    monkeypatch.chdir(layout.root)
    out = tmp_path / "out"
    result = CliRunner().invoke(main, ["bundle", "--out", str(out), "--course", str(file)])
    assert result.exit_code == 0, result.output
    assert result.output.endswith(f"wrote {out / TOP}-students.zip\n")
    with zipfile.ZipFile(next(out.iterdir())) as archive:
        notebooks = {Path(n).stem: n for n in archive.namelist() if n.endswith(".ipynb")}
        assert set(notebooks) == {"00-start-here", "01-sharp-and-flat"}
        text = archive.read(notebooks["01-sharp-and-flat"]).decode()
    chapter = outline(nbformat.reads(text, as_version=4), "it")
    assert [task.name for task in chapter.tasks] == ["hvp"]


def answer(path: Path, layout: Layout, chapter: str) -> None:
    """Write every right answer into the notebook at ``path``, as the source has it."""
    notebook = nbformat.read(path, as_version=4)
    solved = {
        cell.name: re.sub(r"^\s*### (BEGIN|END) SOLUTION\n?", "", cell.text, flags=re.MULTILINE)
        for cell in read_chapter(layout.source(chapter)).of("exercise")
    }
    for cell in notebook.cells:
        marker = cell.source.split("\n", 1)[0]
        if marker.startswith("# exercise: "):
            cell.source = f"{marker}\n{solved.pop(marker.removeprefix('# exercise: '))}"
        elif marker.startswith("<!-- open: "):
            cell.source = cell.source.replace("YOUR ANSWER HERE", "An answer.")
    assert not solved
    nbformat.write(notebook, path)


@pytest.mark.extended
@pytest.mark.beside
def test_a_student_unpacks_it_and_works(unpacked, layout, tmp_path):
    """In an environment that has the packages that START.md installs, and no checkout."""
    python = environment(tmp_path / "env")
    folder = unpacked / TOP
    install = [python, "-m", "pip", "install", "-q", "--no-index", "--no-deps", folder / WHEEL]
    subprocess.run(install, check=True, timeout=300)
    where = output(python, "import flatlab; print(flatlab.__file__)", cwd=folder)
    assert Path(where).is_relative_to(tmp_path / "env")

    def flatlab(*words):
        command = [python.parent / "flatlab", *words]
        return subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=500, check=False
        )

    said = flatlab("--help").stdout
    commands = re.findall(r"^  (\w+)  ", said.split("Commands:")[1], flags=re.MULTILINE)
    assert commands == ["check", "doctor", "hint", "progress", "submit"]
    assert flatlab("grade", "x").returncode == 2
    assert "flatlab 0.1.0" in flatlab("doctor").stdout
    assert "minutes left" in flatlab("progress").stdout
    for chapter in CHAPTERS[:2]:
        done = flatlab("check", chapter)
        assert done.returncode == 1, done.stderr
        assert "\n0 of " in done.stdout
        answer(folder / "notebooks" / chapter / f"{chapter}.ipynb", layout, chapter)
        done = flatlab("check", chapter[:2])
        assert done.returncode == 0, done.stdout + done.stderr
        assert "failed" not in done.stdout
        assert "stopped with" not in done.stdout


def test_the_same_course_gives_the_same_zip(layout, tmp_path, monkeypatch):
    """Of two copies with other times, so that nobody's edit comes between."""
    monkeypatch.setattr(build, "check", lambda chapters, root: [])
    made, source = [], layout.root
    for name in ("one", "two"):
        copy = tmp_path / name
        for part in ("flatlab", "notebooks", "solutions"):
            shutil.copytree(source / part, copy / part, copy_function=shutil.copyfile)
        (copy / "docs").mkdir()
        for part in FILES:
            shutil.copyfile(source / part, copy / part)
        made += bundle(Course(Layout(copy)), copy / "out")
        source = copy
    assert made[0].read_bytes() == made[1].read_bytes()
