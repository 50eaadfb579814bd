"""What was driven, test by test, kept under artifacts/browser/driven for docs/browser.py."""

import json
import platform
import re
from importlib.metadata import version
from pathlib import Path

import pytest

PACKAGES = ("jupyterlab", "notebook", "nbgrader", "ipywidgets", "ipykernel", "playwright")
_PASSED = pytest.StashKey[bool]()


def keep(item: pytest.Item, report: pytest.TestReport, folder: Path) -> None:
    """Write down that ``item`` passed, its teardown too; or that it did not, by nothing."""
    path = folder / (re.sub(r"\W+", "-", item.name).strip("-") + ".json")
    if report.when == "setup":
        path.unlink(missing_ok=True)
    elif report.when == "call":
        item.stash[_PASSED] = report.passed
        item.user_properties.append(("seconds", round(report.duration)))
    elif report.passed and item.stash.get(_PASSED, False):
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(_facts(item), indent=1, ensure_ascii=False), encoding="utf-8")


def _facts(item: pytest.Item) -> dict:
    given = item.callspec.params if hasattr(item, "callspec") else {}
    versions = {name: version(name) for name in PACKAGES}
    versions |= {"Python": platform.python_version(), "Chromium": item.funcargs["browser"].version}
    return {
        "test": item.originalname,
        "application": "JupyterLab",
        **given,
        **dict(item.user_properties),
        "versions": versions,
    }
