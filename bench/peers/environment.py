"""An environment of their own for the packages that flatlab is compared with.

It lies in the ignored folder build/, sees the project's packages (one torch for all) through a .pth
file, and adds the peers, without touching the project's environment.
"""

import os
import site
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "build" / "bench-curvature"
PEERS = ["pyhessian==0.1", "hessian-eigenthings==1.0.0a5", "curvlinops-for-pytorch==3.0.1"]
NEEDED = ["einops", "einconv", "opt-einsum", "backpack-for-pytorch", "linear-operator", "jaxtyping"]
NEEDED += ["unfoldNd", "wadler-lindig"]


def enter() -> None:
    """Replace this process by one in the peers' environment, made first if need be."""
    if Path(sys.prefix) == FOLDER:
        return
    python = FOLDER / "bin" / "python"
    stamp = FOLDER / "ready"
    wanted = "\n".join([*PEERS, *NEEDED, *site.getsitepackages()])
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"making {FOLDER} for {', '.join(PEERS)}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", FOLDER], check=True)
        (own,) = FOLDER.glob("lib/python*/site-packages")
        project = [*site.getsitepackages(), str(FOLDER.parents[1])]
        (own / "project.pth").write_text("\n".join(project) + "\n")
        install = [python, "-m", "pip", "install", "--quiet", "--no-deps", *PEERS, *NEEDED]
        subprocess.run(install, check=True)
        stamp.write_text(wanted)
    os.execv(python, [str(python), *sys.argv])
