"""Type hints: of every public name, and as a program outside that uses flatlab sees them."""

import ast
import os
import subprocess
import sys

import pytest

import flatlab

PROGRAM = """
import flatlab
from torch import nn

model = flatlab.models.mlp((64, 32, 10))
data = flatlab.load_dataset("digits", one_hot=True)
a = flatlab.sharpness(model, nn.MSELoss(), data.train)
reveal_type(a)
reveal_type(flatlab.Hessian(model, nn.MSELoss(), data.train))
reveal_type(flatlab.plot_stability_region(0.1, 4, 500, points={"SGD": (a, 1.0)}))
flatlab.plot_stability_region("0.1", 4, 500)
flatlab.sharpness(model, nn.MSELoss())
flatlab.sharpnes
"""
SAID = [
    'Revealed type is "float"',
    'Revealed type is "flatlab.curvature.operators.Hessian"',
    'Revealed type is "matplotlib.axes._axes.Axes"',
    'Argument 1 to "plot_stability_region" has incompatible type "str"; expected "float"',
    'Missing positional argument "data" in call to "sharpness"',
    'Module has no attribute "sharpnes"; maybe "sharpness"?',
]


def test_the_stub_names_what_the_package_gives(repository):
    body = ast.parse((repository / "flatlab" / "__init__.pyi").read_text(encoding="utf-8")).body
    stubs = {node.names[0].asname: node.module for node in body if isinstance(node, ast.ImportFrom)}
    homes = {name: f"flatlab.{home}" for name, home in flatlab._HOME.items()}
    assert stubs == homes | dict.fromkeys(flatlab._MODULES, "flatlab")


@pytest.mark.extended
@pytest.mark.beside
def test_a_program_that_uses_flatlab_is_checked(repository, tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file=", "--follow-imports=silent", "program.py"],
        cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "MYPYPATH": str(repository)},
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("program.py:")]
    assert len(lines) == len(SAID), done.stdout
    for line, expected in zip(lines, SAID, strict=True):
        assert expected in line
