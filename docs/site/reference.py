"""The pages of the API reference: one a module, and a first one with the names of ``flatlab``."""

from __future__ import annotations

import inspect

import docstrings

import flatlab


def modules() -> list[str]:
    """The public modules of the package, in the order of the alphabet."""
    return sorted(set(dir(flatlab)) - set(flatlab.__all__))


def home(name: str) -> str:
    """Where a name of ``flatlab`` is documented: ``sharpness`` in ``flatlab.curvature.sharpness``."""
    target = getattr(flatlab, name)
    homes = [m for m in modules() if getattr(getattr(flatlab, m), name, None) is target]
    defined = [m for m in homes if target.__module__.startswith(f"flatlab.{m}")]
    return f"flatlab.{(defined or homes)[0]}.{name}"


def pages() -> dict[str, str]:
    """The pages' texts by their paths below the site's source folder."""
    made = {f"api/{module}.md": module_page(module) for module in modules()}
    return {"api/index.md": first_page(), **made}


def first_page() -> str:
    """The names that ``import flatlab`` gives, each with the first sentence of its docstring."""
    rows = []
    for name in sorted(set(flatlab.__all__) - {"__version__"}, key=str.lower):
        first = inspect.getdoc(getattr(flatlab, name)).split("\n\n")[0].replace("\n", " ")
        rows += [f":py:obj:`flatlab.{name} <{home(name)}>`", f"    {docstrings.escape(first)}", ""]
    return "\n".join(
        [
            "# The package",
            "",
            "What `import flatlab` gives. Each name is documented with the module it comes from.",
            "",
            "```{eval-rst}",
            *rows,
            "```",
            "",
            "```{toctree}",
            ":caption: Modules",
            "",
            *modules(),
            "```",
            "",
        ]
    )


def module_page(module: str) -> str:
    """What a module says of itself and of its public names."""
    return "\n".join(
        [
            f"# flatlab.{module}",
            "",
            "```{eval-rst}",
            f".. automodule:: flatlab.{module}",
            "   :members:",
            "```",
            "",
        ]
    )
