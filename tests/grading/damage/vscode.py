"""A notebook as VS Code's own extension ``ipynb`` saves it: ``saved``.

After microsoft/vscode, extensions/ipynb/src (serializers.ts, notebookModelStoreSync.ts): version and
cell ids stay, new cells get an id of eight hexadecimal digits, a cell in another language than the
notebook's carries that in its metadata, the kernel's names are this machine's, keys are sorted.
``saved_by_vs_code`` in damage_metadata is what older versions wrote.
"""

from __future__ import annotations

import copy
import json
import random

import nbformat
from nbformat import NotebookNode

KERNEL = {"display_name": ".venv", "language": "python", "name": "python3"}
LANGUAGE = {
    "codemirror_mode": {"name": "ipython", "version": 3},
    "file_extension": ".py",
    "mimetype": "text/x-python",
    "name": "python",
    "nbconvert_exporter": "python",
    "pygments_lexer": "ipython3",
    "version": "3.11.7",
}
SHELL = {"vscode": {"languageId": "shellscript"}}  # what VS Code makes of a cell %%bash


def saved(notebook: NotebookNode, rng: random.Random, written_anew: float = 0.0) -> bytes:
    """The file of ``notebook`` after work in VS Code, which has added a cell of its own.

    ``written_anew``: the share of answers whose text stands in a new cell, the old one deleted;
    VS Code lets a student delete any cell.
    """
    body = json.loads(nbformat.writes(copy.deepcopy(notebook)))  # sources as lists of lines
    for cell in body["cells"]:
        told = cell["metadata"].get("nbgrader", {})
        if told.get("solution") and rng.random() < written_anew:
            cell["id"], cell["metadata"] = f"{rng.getrandbits(32):08x}", {}
    scratch = nbformat.v4.new_code_cell("%%bash\necho mine", id=f"{rng.getrandbits(32):08x}")
    scratch = {**scratch, "metadata": SHELL, "source": ["%%bash\n", "echo mine"]}
    body["cells"].insert(rng.randrange(1, len(body["cells"])), scratch)
    body["metadata"] = {"kernelspec": KERNEL, "language_info": LANGUAGE}
    return (json.dumps(body, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()
