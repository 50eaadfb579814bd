"""pyproject, environment.yml and constraints.txt say the same."""

import re
import shlex
import sys

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CONDA_NAMES = {"torch": "pytorch"}
RANGED = {"torch", "torchvision"}
PYTHONS = ("3.10", "3.11", "3.12", "3.13")


@pytest.fixture(scope="module")
def project(repository) -> dict:
    return tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def direct(project) -> list[Requirement]:
    """What `make test` asks pip for: the package's own requirements, course and dev."""
    extras = project["optional-dependencies"]
    return [Requirement(t) for t in (*project["dependencies"], *extras["course"], *extras["dev"])]


@pytest.fixture(scope="module")
def for_the_site(project) -> list[Requirement]:
    """What `make site` asks for besides."""
    return [Requirement(text) for text in project["optional-dependencies"]["site"]]


@pytest.fixture(scope="module")
def constraints(repository) -> list[Requirement]:
    lines = (repository / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_small_torch_that_students_install_first_is_one_that_stays(repository, constraints):
    text = (repository / "docs" / "start.md").read_text(encoding="utf-8")
    first = re.search(r"pip install (.*) --index-url https://download.pytorch", text)[1]
    given = {r.name: r.specifier for r in map(Requirement, shlex.split(first))}
    kept = {r.name: r.specifier for r in constraints if r.name in RANGED}
    assert given.keys() == kept.keys()
    for name, newest in given.items():
        assert [str(one) for one in newest] == [str(o) for o in kept[name] if o.operator == "<"]


def test_environment_yml_equals_pyproject(repository, project):
    environment = yaml.safe_load((repository / "environment.yml").read_text(encoding="utf-8"))
    listed = [d for d in environment["dependencies"] if isinstance(d, str)]
    found = {}
    for text in listed:
        name, ranges = re.fullmatch(r"([A-Za-z0-9_.-]+?)((?:[<>=!~].*)?)", text).groups()
        assert name not in found, f"{name} stands twice"
        found[name] = SpecifierSet(ranges)
    assert found.pop("pip") == SpecifierSet()
    expected = {"python": SpecifierSet(project["requires-python"])}
    for text in (*project["dependencies"], *project["optional-dependencies"]["course"]):
        requirement = Requirement(text)
        expected[CONDA_NAMES.get(requirement.name, requirement.name)] = requirement.specifier
    assert found == expected
    assert environment["channels"] == ["conda-forge"]
    assert environment["dependencies"][-1] == {"pip": ["-e ."]}


@pytest.mark.parametrize("python", PYTHONS)
def test_constraints_name_one_tested_version_of_each_direct_dependency(
    direct, for_the_site, constraints, python
):
    environment = {
        **default_environment(),
        "python_version": python,
        "python_full_version": f"{python}.9",
    }
    pins = {}
    for pin in constraints:
        if pin.marker is None or pin.marker.evaluate(environment):
            assert normalized(pin.name) not in pins, f"{pin.name} has two versions on {python}"
            pins[normalized(pin.name)] = pin
    for requirement in direct + for_the_site:
        if requirement.marker is not None and not requirement.marker.evaluate(environment):
            continue
        assert normalized(requirement.name) in pins, f"{requirement.name} is not in constraints.txt"
        specifiers = list(pins[normalized(requirement.name)].specifier)
        if requirement.name in RANGED:
            assert {s.operator for s in specifiers} == {">=", "<"}
            assert all(
                requirement.specifier.contains(s.version) for s in specifiers if s.operator == ">="
            )
        else:
            assert [s.operator for s in specifiers] == ["=="]
            assert requirement.specifier.contains(specifiers[0].version)


def test_constraints_leave_to_torch_what_torch_brings(constraints):
    names = {normalized(pin.name) for pin in constraints}
    assert not {n for n in names if n.startswith(("nvidia-", "cuda-"))}
    assert not names & {"triton", "sympy"}  # torch pins them to itself
    for pin in constraints:
        assert pin.url is None
        if pin.name not in RANGED:
            assert [s.operator for s in pin.specifier] == ["=="], str(pin)


def test_no_file_names_an_index(repository):
    for name in ("pyproject.toml", "constraints.txt", "environment.yml", "Makefile", ".ci/run"):
        text = (repository / name).read_text(encoding="utf-8")
        assert not re.search(r"index-url|find-links|trusted-host|https?://(?!creative)", text), name


def test_the_badges_have_one_setting(repository):
    table = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))
    assert set(table["tool"]["flatlab"]) == {"repository"}


def test_installed_versions_meet_pyproject(direct):
    """The floors and ceilings hold for what the tests run with."""
    from importlib.metadata import version

    for requirement in direct:
        if requirement.marker is None or requirement.marker.evaluate():
            installed = version(requirement.name)
            assert requirement.specifier.contains(installed, prereleases=True), requirement.name
