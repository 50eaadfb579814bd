"""Environments of their own for the packages that flatlab is compared with.

They lie in the ignored folder build/, see the project's packages (one torch for all) through a .pth
file, and add the peers, without touching the project's environment.
"""

import os
import site
import subprocess
import sys
from pathlib import Path

BUILD = Path(__file__).parents[2] / "build"
PEERS = ["pyhessian==0.1", "hessian-eigenthings==1.0.0a5", "curvlinops-for-pytorch==3.0.1"]
NEEDED = ["einops", "einconv", "opt-einsum", "backpack-for-pytorch", "linear-operator", "jaxtyping"]
NEEDED += ["unfoldNd", "wadler-lindig"]


def enter(name: str = "bench-curvature", peers: list = PEERS, needed: list = NEEDED) -> None:
    """Replace this process by one in the peers' environment, made first if need be."""
    folder = BUILD / name
    if Path(sys.prefix) == folder:
        return
    python = folder / "bin" / "python"
    stamp = folder / "ready"
    wanted = "\n".join([*peers, *needed, *site.getsitepackages()])
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"making {folder} for {', '.join(peers)}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        (own,) = folder.glob("lib/python*/site-packages")
        project = [*site.getsitepackages(), str(folder.parents[1])]
        (own / "project.pth").write_text("\n".join(project) + "\n")
        install = [python, "-m", "pip", "install", "--quiet", "--no-deps", *peers, *needed]
        subprocess.run(install, check=True)
        stamp.write_text(wanted)
    os.execv(python, [str(python), *sys.argv])
