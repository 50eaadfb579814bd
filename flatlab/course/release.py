"""The student's notebook, made by nbgrader's own generate_assignment.

nbgrader gets a course of its own in a temporary folder, so that nothing which lies beside the
solution notebook reaches the release, and no gradebook reaches the checkout.
"""

from __future__ import annotations

import io
import logging
import tempfile
from pathlib import Path

from nbformat import NotebookNode
from nbgrader.converters import GenerateAssignment
from nbgrader.converters.base import NbGraderException
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import NbGraderPreprocessor
from traitlets.config import Config
from traitlets.config.loader import PyFileConfigLoader

from flatlab.course.assemble import COMPARE
from flatlab.course.execute import dumps
from flatlab.course.layout import Refused


class KeepRunning(NbGraderPreprocessor):
    """Lets JupyterLab's Run All go on past a check that fails.

    JupyterLab and nbclient read the tag ``raises-exception``. It changes no score: nbgrader runs
    every cell anyway and looks at a cell's outputs. The solution notebook must not carry it,
    because nbval would then accept a failing check; nor must the release carry nbval's own tag.
    """

    def preprocess_cell(self, cell: NotebookNode, resources: dict, index: int) -> tuple:
        tags = [tag for tag in cell.metadata.get("tags", []) if tag != COMPARE]
        nbgrader = cell.metadata.get("nbgrader", {})
        if cell.cell_type == "code" and nbgrader.get("grade"):
            tags.append("raises-exception")
        cell.metadata.pop("tags", None)
        if tags:
            cell.metadata["tags"] = tags
        return cell, resources


def preprocessors() -> list[type]:
    """What generate_assignment runs: nbgrader's own list and ``KeepRunning``."""
    return [KeepRunning, *GenerateAssignment().preprocessors]


def make_release(notebook: NotebookNode, name: str, config_file: Path) -> str:
    """The text of the release of ``notebook``, by the settings in ``config_file``.

    Raises ``Refused`` with nbgrader's own words where nbgrader refuses.
    """
    log, words = quiet_log()
    with tempfile.TemporaryDirectory(prefix="flatlab-release-") as folder:
        config = course_config(config_file, Path(folder))
        config.GenerateAssignment.no_database = True
        config.SaveCells.enabled = False
        coursedir = CourseDirectory(config=config, log=log)
        source = Path(folder) / coursedir.source_directory / name / f"{name}.ipynb"
        source.parent.mkdir(parents=True)
        source.write_text(dumps(notebook), encoding="utf-8")
        coursedir.assignment_id = name
        converter = GenerateAssignment(coursedir=coursedir, config=config, log=log)
        try:
            converter.start()
        except (NbGraderException, SystemExit) as error:
            raise Refused([f"{name}: nbgrader refused it: {words.getvalue()}"]) from error
        made = Path(folder) / coursedir.release_directory / name
        extra = [path.name for path in made.rglob("*") if path.name != source.name]
        if extra:
            raise Refused([f"{name}: the release would hold more than the notebook: {extra}"])
        return (made / source.name).read_text(encoding="utf-8")


def course_config(config_file: Path, root: Path) -> Config:
    """The course's nbgrader settings, for a course at ``root``."""
    loader = PyFileConfigLoader(config_file.name, path=str(config_file.parent))
    config = loader.load_config()
    config.CourseDirectory.root = str(root)
    return config


def quiet_log() -> tuple[logging.Logger, io.StringIO]:
    """A logger that keeps warnings and errors to itself, and the text they make."""
    words = io.StringIO()
    log = logging.Logger("flatlab.release", logging.ERROR)  # noqa: LOG001 (not shared)
    log.addHandler(logging.StreamHandler(words))
    return log, words
