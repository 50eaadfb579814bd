"""Environments outside the checkout, which see this one's packages, but not flatlab."""

import re
import subprocess
import sys
import sysconfig
from pathlib import Path


def environment(folder: Path, without: frozenset[str] = frozenset()) -> Path:
    """The Python of a new environment at ``folder``, without flatlab and the packages ``without``.

    The other packages are lent by links, so nothing is downloaded, and pip, which is lent too, can
    install flatlab there and cannot touch what is lent. Names are those of import.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    lent = folder.with_name(f"{folder.name}-lent")
    lent.mkdir()
    for place in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        for entry in Path(place).iterdir():
            name = re.split(r"[-.]", entry.name)[0].lower()
            hooks = entry.suffix == ".pth" or name.startswith("__editable__")
            if not hooks and name not in {"flatlab", *without}:
                (lent / entry.name).symlink_to(entry)
    (own,) = folder.glob("lib/python*/site-packages")
    (own / "lent.pth").write_text(f"{lent}\n", encoding="utf-8")
    return folder / "bin" / "python"


def output(python: Path, code: str, **options) -> str:
    """What ``code`` prints in a fresh interpreter ``python``."""
    done = subprocess.run(
        [python, "-c", code], capture_output=True, text=True, timeout=120, check=False, **options
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
