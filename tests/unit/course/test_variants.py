"""Per-student variants: who gets which number, the one line that differs, and that grading minds it not."""

import hashlib
import json
import zipfile
from pathlib import Path

import nbformat
import pytest
from click.testing import CliRunner
from nbgrader.utils import compute_checksum

from flatlab.course import bundle as bundle_module
from flatlab.course import variants
from flatlab.course.assemble import assemble
from flatlab.course.choice import Choice, read
from flatlab.course.cli import main
from flatlab.course.execute import dumps
from flatlab.course.handout import Course, handed_out
from flatlab.course.layout import Layout, Refused
from flatlab.course.rebuild import Release, rebuild
from flatlab.course.rehearse import STUDENTS, _class
from flatlab.course.source import read_chapter
from flatlab.course.variants import Variants, noted, numbered, with_line
from flatlab.data import load_dataset, use_variant

REAL = Layout(Path(__file__).resolve().parents[3])
FIRST = "01-sharp-and-flat"
SECRET = "winter, and a long text"
TERM = f'[variants]\nstudents = "students.csv"\nsecret = "{SECRET}"\n'


def hmac_sha256(key: bytes, text: bytes) -> bytes:
    """RFC 2104 in its own words, for a key of at most 64 bytes."""
    key = key.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(b ^ 0x36 for b in key) + text).digest()
    return hashlib.sha256(bytes(b ^ 0x5C for b in key) + inner).digest()


def bits(text: str, secret: str = SECRET) -> int:
    return int.from_bytes(hmac_sha256(secret.encode(), text.encode()), "big") >> 225


@pytest.fixture
def term(tmp_path):
    """A course.toml with chapters 00, 01 and 07 for Ada and Bob."""
    (tmp_path / "students.csv").write_text("name,id\nAda L.,ada\nBob,bob\n")
    file = tmp_path / "course.toml"
    file.write_text("[chapters.00]\n[chapters.01]\n[chapters.07]\n" + TERM)
    return file


# Who gets which number


def test_a_number_is_the_first_31_bits_of_the_hmac():
    made = numbered(["ada", "bob", "Gül-Hakan"], SECRET)
    assert made.numbers == {name: bits(name) for name in ("ada", "bob", "Gül-Hakan")}
    assert list(made.numbers) == ["ada", "bob", "Gül-Hakan"] and made.told == ()
    assert all(0 < number < 2**31 for number in made.numbers.values())
    assert numbered(["ada"], "another term's secret").of("ada") != made.of("ada")
    with pytest.raises(Refused, match="no student 'eve'"):
        made.of("eve")


def test_a_collision_is_named_and_resolved_by_the_list_alone():
    """A real one: among 2^17 names of 31 bits there are some."""
    seen: dict[int, str] = {}
    for k in range(2**17):
        name = f"student-{k}"
        if (number := variants._bits(SECRET, name)) in seen:
            break
        seen[number] = name
    first, second = seen[number], name
    made = numbered([first, "ada", second, "eve"], SECRET)
    assert made.of(first) == number == bits(second) and made.of(second) == bits(f"{second}\n1")
    assert made.told == (
        f"variant {number} is {first}'s and would be {second}'s: {made.of(second)}",
    )
    assert (made.of("ada"), made.of("eve")) == (bits("ada"), bits("eve"))
    turned = numbered([second, first], SECRET)
    assert turned.of(second) == number != turned.of(first)


def test_nobody_gets_0_and_numbers_of_a_collision_are_free_ones(monkeypatch):
    """0 is the published order."""
    made_up = {"a": 0, "a\n1": 7, "b": 7, "b\n1": 0, "b\n2": 7, "b\n3": 8}
    monkeypatch.setattr(variants, "_bits", lambda secret, text: made_up[text])
    made = numbered(["a", "b"], SECRET)
    assert made.numbers == {"a": 7, "b": 8}
    assert made.told == ("variant 7 is a's and would be b's: 8",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("variants = 3", "line 1, variants: write a table: [variants]."),
        (TERM + "seed = 3", "line 4, variants.seed: unknown; allowed: students, secret."),
        ('[variants]\nstudents = "students.csv"', "line 1, variants.secret: give a text of 16"),
        (TERM.replace(SECRET, "short"), "line 3, variants.secret: give a text of 16"),
        (f'[variants]\nsecret = "{SECRET}"', "line 1, variants.students: name the list"),
        (TERM.replace('"students.csv"', "['ada']"), "line 2, variants.students: name the list"),
        (TERM.replace("students.csv", "none.csv"), "none.csv cannot be read: No such file"),
    ],
)
def test_what_is_wrong_in_the_table_is_said_with_its_line(term, text, said):
    term.write_text(text)
    with pytest.raises(Refused) as refused:
        read(term, REAL)
    (problem,) = refused.value.problems
    assert problem.startswith("course.toml, line ") and said in problem


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (b"", "students.csv has no column id (it is empty)"),
        (b"name\nada\n", "no column id (its first line is 'name'): the first line names"),
        (b"id;name\nada;Ada\n", "no column id (its first line is 'id;name')"),
        (b"id\n", "students.csv names no student."),
        (b"id,name\nada,A\n,B\n", "students.csv, line 3: no id."),
        (b"id\nada\nbob\nada\n", "students.csv, line 4: 'ada' is in line 2."),
        (b"id\nAda Lovelace\n", "line 2: 'Ada Lovelace' cannot be an id; the gradebook has it as "),
        (b"id\n../up\n", "'../up' cannot be an id"),
        (b"id\n\xe9\n", "students.csv is not in UTF-8"),
    ],
)
def test_what_is_wrong_in_the_list_is_said_with_its_line(term, table, said):
    (term.parent / "students.csv").write_bytes(table)
    with pytest.raises(Refused) as refused:
        read(term, REAL)
    (problem,) = refused.value.problems
    assert problem.startswith("course.toml, line 5, variants.students: ") and said in problem


def test_a_list_as_spreadsheets_write_it(term):
    (term.parent / "students.csv").write_bytes('\ufeffname, id \r\n"A, B",ada\r\n'.encode())
    assert read(term, REAL).variants == numbered(["ada"], SECRET)
    assert read(term, REAL, ("right",)).variants == numbered(["right"], SECRET)
    term.write_text("[chapters.00]\n")
    assert read(term, REAL).variants is None and read(term, REAL, ("right",)).variants is None


# The line


def setup_of(text: str) -> nbformat.NotebookNode:
    cells = nbformat.reads(text, as_version=4).cells
    return next(cell for cell in cells if cell.source.startswith("# setup\n"))


@pytest.mark.parametrize("chapter", REAL.chapters())
def test_chapters_with_images_get_the_line_and_nothing_else_differs(chapter):
    plain = REAL.release(chapter).read_text(encoding="utf-8")
    made = with_line(plain, 48213)
    if chapter in ("00-start-here", "07-grokking"):  # a plane; tables of a group
        assert made == plain
        return
    line = "flatlab.use_variant(48213)  # your own sample of the data"
    assert setup_of(made).source.replace(f"\n\n{line}", "") == setup_of(plain).source
    code = setup_of(made).source.split("\n")
    assert code[code.index(line) - 2].startswith(("from ", "import "))
    assert not any(x.startswith(("from ", "import ")) for x in code[code.index(line) :])
    assert setup_of(made).metadata.nbgrader.checksum == compute_checksum(setup_of(made))
    fields = [json.loads(text) for text in (plain, made)]
    for notebook in fields:
        (setup,) = (c for c in notebook["cells"] if "".join(c["source"]).startswith("# setup\n"))
        setup["source"] = setup["metadata"]["nbgrader"]["checksum"] = ""
    assert fields[0] == fields[1]


def test_a_chapter_that_cannot_have_the_line_is_refused():
    plain = REAL.release(FIRST).read_text(encoding="utf-8")
    with pytest.raises(Refused, match="no line `import flatlab`"):
        with_line(plain.replace('"import flatlab\\n"', '"import copy\\n"'), 3)


def test_the_line_does_what_it_says():
    plain = load_dataset("digits", 50)
    try:
        exec(setup_of(with_line(REAL.release(FIRST).read_text(encoding="utf-8"), 77)).source, {})  # noqa: S102 - the release's own cell
        assert load_dataset("digits", 50).variant == 77
    finally:
        use_variant(0)
    assert load_dataset("digits", 50).X_train.equal(plain.X_train)


def test_a_release_of_variants(term, tmp_path, monkeypatch):
    monkeypatch.chdir(REAL.root)
    out = tmp_path / "out"
    done = CliRunner().invoke(main, ["release", "--out", str(out), "--course", str(term)])
    assert done.exit_code == 0, done.output
    told = done.output.splitlines()
    assert told[0].endswith("graded questions; the data in 2 variants, one a student")
    assert told[1:] == [f"wrote {out / 'ada'}", f"wrote {out / 'bob'}"]
    names = ("00-start-here", FIRST, "07-grokking")
    with handed_out(REAL, term) as given:
        for name in names:
            ada, bob = (out / who / name / f"{name}.ipynb" for who in ("ada", "bob"))
            plain = given.layout.release(name).read_text(encoding="utf-8")
            assert ada.read_text(encoding="utf-8") == with_line(plain, bits("ada"))
            pairs = zip(ada.read_text().split("\n"), bob.read_text().split("\n"), strict=True)
            other = [pair for pair in pairs if pair[0] != pair[1]]
            assert len(other) == (2 if name == FIRST else 0)
            assert all("use_variant" in a or '"checksum"' in a for a, _ in other)
    assert sorted(p.name for p in out.rglob("*.ipynb")) == sorted(2 * [f"{n}.ipynb" for n in names])


def test_a_zip_for_each_student(tmp_path, monkeypatch):
    monkeypatch.setattr(bundle_module.build, "check", lambda chapters, root: [])

    def wheel(root, out):
        path = out / "flatlab-0.1.0-py3-none-any.whl"
        path.write_bytes(b"wheel")
        return path

    monkeypatch.setattr(bundle_module, "students_wheel", wheel)
    course = Course(REAL, variants=Variants({"ada": 5, "bob": 6}))
    paths = bundle_module.bundle(course, tmp_path)
    assert [path.name for path in paths] == ["flatlab-0.1.0-ada.zip", "flatlab-0.1.0-bob.zip"]
    held = []
    for path in paths:
        with zipfile.ZipFile(path) as archive:
            held.append({name: archive.read(name) for name in archive.namelist()})
    other = [name for name in held[0] if held[0][name] != held[1][name]]
    assert held[0].keys() == held[1].keys() and len(other) == len(REAL.chapters()) - 2
    where = f"flatlab-0.1.0/notebooks/{FIRST}/{FIRST}.ipynb"
    assert b"use_variant(5)" in held[0][where] and b"use_variant(6)" in held[1][where]


# What comes back


@pytest.fixture(scope="module")
def release():
    return Release(REAL.release(FIRST))


@pytest.fixture(scope="module")
def handed():
    """What a student who has everything right hands in, without and with a variant."""
    plain, ada = (
        _class(Course(REAL, variants=made), FIRST)[0].data
        for made in (None, Variants(dict.fromkeys(STUDENTS, 48213)))
    )
    assert plain != ada and b"use_variant(48213)" in ada
    return plain, ada


def test_a_variant_is_rebuilt_as_the_plain_notebook(handed, release):
    plain, ada = (rebuild(data, release) for data in handed)
    assert (plain.variant, ada.variant) == (0, 48213)
    assert ada.notebook == plain.notebook
    assert ada.report == plain.report and ada.manual == plain.manual == []


@pytest.mark.parametrize(
    ("line", "number", "edited"),
    [
        ("flatlab.use_variant(7)  # your own sample of the data", 7, False),
        ("flatlab.use_variant(7)", 7, False),
        ("flatlab.use_variant(0)", 0, False),
        ("flatlab.use_variant(", 0, False),
        ("flatlab.use_variant(my_number)  # 5", 0, False),
        ("", 0, False),
        ("# flatlab.use_variant(48213)", 0, True),
        ("flatlab.use_varint(48213)", 0, True),
        ("use_variant(48213)", 0, True),
        ("<<<<<<<", 0, True),
    ],
)
def test_a_line_that_is_damaged_does_no_harm(handed, release, line, number, edited):
    plain = rebuild(handed[0], release)
    notebook = nbformat.reads(handed[1].decode(), as_version=4)
    (setup,) = (cell for cell in notebook.cells if cell.source.startswith("# setup\n"))
    whole = "flatlab.use_variant(48213)  # your own sample of the data"
    assert whole in setup.source
    setup.source = setup.source.replace(whole if line else f"\n\n{whole}", line)
    done = rebuild(nbformat.writes(notebook).encode(), release)
    assert done.notebook == plain.notebook and done.manual == [] and done.variant == number
    told = [entry for entry in done.report if entry not in plain.report]
    assert [entry["instructor"].rpartition(": ")[2] for entry in told] == ["setup."] * edited


def test_an_own_cell_with_another_variant_is_still_the_students(handed, release):
    """Below the setup cell it is a student's experiment: the line that was handed out counts."""
    notebook = nbformat.reads(handed[1].decode(), as_version=4)
    text = "def again():\n    flatlab.use_variant(9)\n    return 1"
    notebook.cells.append(nbformat.v4.new_code_cell(text))
    done = rebuild(nbformat.writes(notebook).encode(), release)
    assert done.variant == 48213 and done.manual == []
    assert done.notebook.cells[-1].source == text


def test_a_neighbors_notebook_is_named_and_nothing_else():
    given = Variants({"ada": 5, "bob": 6})
    record = {"student": "ada", "variant": 6, "rebuilt": [{"name": "x"}], "scores": {"a": 1}}
    made = noted(record, given)
    assert made["rebuilt"][1]["instructor"] == "Its variant number 6 belongs to bob."
    assert made["rebuilt"][1]["student"] == "" and record["rebuilt"] == [{"name": "x"}]
    assert {**made, "rebuilt": 0} == {**record, "rebuilt": 0}
    nobody = noted({**record, "variant": 7}, given)
    assert (
        nobody["rebuilt"][1]["instructor"] == "Its variant number 7 belongs to nobody on the list."
    )
    for fine in (
        {**record, "variant": 5},
        {**record, "variant": 0},
        {"student": "", "rebuilt": []},
    ):
        assert noted(fine, given) is fine
    assert noted(record, None) is record


def test_the_made_up_class_uses_variants():
    given = Course(REAL, {FIRST: Choice(FIRST, (), ())}, "", numbered(STUDENTS, SECRET))
    students = _class(given, FIRST)
    assert [one.student for one in students] == list(STUDENTS)
    for one in students:
        assert f"use_variant({bits(one.student)})".encode() in one.data


def test_no_badge_leads_to_the_notebook_without_the_line():
    built = dumps(assemble(read_chapter(REAL.source(FIRST)), "https://github.com/me/course"))
    assert "Open in Colab" in built and "Open in Colab" not in with_line(built, 7)
