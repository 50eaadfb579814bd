"""What a student may read of a check that failed: no text that the submission itself could write.

A submission runs beside the hidden checks' calls and inputs, and whatever it raises, returns or
names comes back in the record as text. So a message is shown only where it is one of the course's
own sentences, the ones in ``flatlab.checks``, which every student has; what stands in their gaps is
shown where it is a number, a shape or a type's name, and else left out. Of hidden checks only the
aim is told, which the notebook promises.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from string import Formatter

import flatlab

_PACKAGE = Path(flatlab.__file__).parent
_SHORTEST = 6  # letters of a sentence that is recognised by itself
_DEEPEST = 3  # sentences within sentences
_LONGEST_GAP = 300
_MOST_DOTTED = 4  # words of a name such as flatlab.curvature.operators.Hessian
_MOST_ENDS = 6  # of sentences, where one may be followed by another
_LEFT_OUT = "…"
_NUMBER = r"(?:-?(?:\d{1,8}(?:\.\d{1,8})?(?:e[+-]?\d{1,3})?|nan|inf)|…)"
_NUMBERS = re.compile(rf"[\[(]?\s*{_NUMBER}(?:,\s*{_NUMBER}){{0,5}}\s*,?\s*[\])]?|\(\)|\[\]")
_SENTENCE_END = re.compile(r"(?<=[.?!]) ")
_SHOWS_ALL = "Run its check in your notebook: it shows the whole message."
_TYPES = {name for name, value in vars(builtins).items() if isinstance(value, type)}
_TYPES |= {"NoneType", "Tensor", "Parameter", "ndarray", "function", "builtin_function_or_method"}
_TYPES |= {"generator", "float32", "float64", "int64", "torch.float32", "torch.float64"}
_TYPES |= {"torch.int64", "torch.bool", "torch.complex64", "torch.complex128", "LinAlgError"}
_TYPES |= {"double", "long", "Float", "Double", "Long", "ComplexFloat", "ComplexDouble"}

# Errors that students meet most, as Python and PyTorch word them
_KNOWN_ERRORS = (
    "element {} of tensors does not require grad and does not have a grad_fn",
    "grad can be implicitly created only for scalar outputs",
    "Trying to backward through the graph a second time{}",
    "One of the differentiated Tensors appears to not have been used in the graph.{}",
    "expected m1 and m2 to have the same dtype, but got: {} != {}",
    "expected {} and {} to have the same dtype, but got: {} != {}",
    "mat1 and mat2 shapes cannot be multiplied ({}x{} and {}x{})",
    "The size of tensor a ({}) must match the size of tensor b ({}) at non-singleton dimension {}",
    "Boolean value of Tensor with more than one value is ambiguous",
    "a leaf Variable that requires grad is being used in an in-place operation.",
    "unsupported operand type(s) for {}: '{}' and '{}'",
    "name '{}' is not defined",
    "{}() missing {} required positional argument: '{}'",
    "{}() missing {} required positional arguments: {}",
    "{}() takes {} positional argument{} but {} were given",
    "{}() takes {} positional argument{} but {} was given",
    "{}() got an unexpected keyword argument '{}'",
    "'{}' object has no attribute '{}'",
    "module '{}' has no attribute '{}'",
    "'{}' object is not callable",
    "'{}' object is not subscriptable",
    "'{}' object is not iterable",
    "too many values to unpack (expected {})",
    "not enough values to unpack (expected {}, got {})",
    "list index out of range",
    "maximum recursion depth exceeded{}",
    "division by zero",
)

# How a check ended -> what to say of it, where the sandbox's own words are not to be shown
_ENDED = {
    "missing": "Its function is not there when the notebook runs from the top.",
    "timeout": "It took too long and was stopped.",
    "died": "Python itself stopped while it ran.",
    "skipped": "Not run: an earlier check did not come to its end.",
    "huge": "What it returned is too large to be read.",
    "malformed": "What it returned cannot be read.",
    "absent": "Its check could not be run. A person will look at it.",
}
_HIDDEN_ENDED = {
    "error": "The function stopped with an error there.",
    "timeout": "The function took too long there.",
    "died": "Python itself stopped there.",
}


@dataclass(frozen=True)
class Sentence:
    """One text of the checks, and how many of its letters are fixed."""

    parts: tuple[str, ...]  # fixed text between the gaps
    letters: int

    def gaps(self, text: str) -> list[str] | None:
        """What stands in its gaps in ``text``, each as short as it can be; None where it is another.

        In time linear in ``text``, which a submission may have made to fit in many ways.
        """
        first, *inner = self.parts
        if not inner:
            return [] if text == first else None
        end = len(text) - len(self.parts[-1])
        if not text.startswith(first) or not text.endswith(self.parts[-1]):
            return None
        found, at = [], len(first)
        for part in inner[:-1]:
            place = text.find(part, at, end)
            if place < 0:
                return None
            found.append(text[at:place])
            at = place + len(part)
        if end < at:
            return None
        found.append(text[at:end])
        return found if max(map(len, found)) <= _LONGEST_GAP else None


def of_exercise(failed: Sequence[Mapping]) -> list[str]:
    """What the student reads of an exercise's failed checks, the verdict's ``failed``.

    The first visible one's message, as in the notebook; of the others what they look at.
    """
    if any(one["kind"] == "unwritten" for one in failed):
        return []
    visible = [one for one in failed if not one["hidden"]]
    told = [f"{_aim(visible[0])}{_visible(visible[0])}"] if visible else []
    others = "; ".join(dict.fromkeys(one["aim"] for one in visible[1:] if one["kind"] != "skipped"))
    told += [f"Other checks failed too: {others}."] if others else []
    not_run = ("absent", "skipped")
    told += [_hidden(one) for one in failed if one["hidden"] and one["kind"] not in not_run]
    return list(dict.fromkeys(told)) or ([_ENDED["absent"]] if failed else [])


def _aim(failed: Mapping) -> str:
    return "" if failed["kind"] in ("object", "missing", "absent") else f"{failed['aim']}: "


def _visible(failed: Mapping) -> str:
    kind = failed["kind"]
    lines = [line.strip() for line in failed["message"].split("\n")[1:]]
    if kind in _ENDED:
        return _ENDED[kind]
    if kind == "error":
        return _error(lines)
    return course_words(" ".join(lines)) or f"The result is not right. {_SHOWS_ALL}"


def _hidden(failed: Mapping) -> str:
    told = _HIDDEN_ENDED.get(failed["kind"], "")
    return f"A hidden check failed. It looks at {failed['aim']}. {told}".rstrip()


def course_words(text: str) -> str:
    """``text`` where it is a sentence of the checks, with what they may say in its gaps; else "".

    What is neither number, shape, type nor again a sentence of theirs becomes an ellipsis.
    """
    return _reworded(text, 0)


def _error(lines: list[str]) -> str:
    """An error of the student's code, where its words are known, and the check's hint."""
    first = lines[0].removeprefix("It stopped with ") if lines else ""
    name, _, text = first.partition(": ")
    said = _matched(text, 0, _known_errors())
    hint = course_words(" ".join(lines[1:]))
    what = f"It stopped with {name if name in _TYPES else 'an error'}"
    what += f": {said.removesuffix('…').rstrip('.: ')}." if said else "."
    return f"{what} {hint or ('' if said else _SHOWS_ALL)}".rstrip()


@lru_cache(maxsize=1024)
def _reworded(text: str, depth: int) -> str:
    if not text or depth > _DEEPEST:
        return ""
    whole = _matched(text, depth, _sentences())
    if whole:
        return whole
    for end in islice(_SENTENCE_END.finditer(text), _MOST_ENDS):  # two sentences, joined
        first = _matched(text[: end.start()], depth, _sentences())
        rest = _reworded(text[end.end() :], depth + 1) if first else ""
        if rest:
            return f"{first} {rest}"
    return ""


def _matched(text: str, depth: int, sentences: Sequence[Sentence]) -> str:
    for sentence in sentences:
        gaps = sentence.gaps(text)
        if gaps is not None:
            told = [_gap(value, depth) for value in gaps]
            pairs = zip(sentence.parts, [*told, ""], strict=True)
            return "".join(fixed + gap for fixed, gap in pairs)
    return ""


def _gap(value: str, depth: int) -> str:
    bare = value.strip()
    if not bare or bare in _TYPES or _NUMBERS.fullmatch(bare):
        return value
    words = bare.split(".")
    if len(words) <= _MOST_DOTTED and _names().issuperset(words):
        return value
    return _reworded(value, depth + 1) or _LEFT_OUT


@lru_cache(maxsize=1)
def _names() -> frozenset[str]:
    """Names that every student has: all that the checks use, and what the package defines."""
    names = {"flatlab", *vars(builtins)}
    for path in sorted(_PACKAGE.rglob("*.py")):
        place = path.relative_to(_PACKAGE).parts
        if place[0] == "course":
            continue
        text = path.read_text(encoding="utf-8")
        names |= {path.stem, path.parent.name}
        names |= set(re.findall(r"(?:def|class) (\w+)", text))
        names |= set(re.findall(r"\b[A-Za-z_]\w*\b", text)) if place[0] == "checks" else set()
    return frozenset(names)


@lru_cache(maxsize=1)
def _known_errors() -> tuple[Sentence, ...]:
    return tuple(_sentence(_unformatted(text)) for text in _KNOWN_ERRORS)


@lru_cache(maxsize=1)
def _sentences() -> tuple[Sentence, ...]:
    """The texts in ``flatlab.checks``, those with most fixed letters first."""
    found = {}
    for path in sorted((_PACKAGE / "checks").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for parts in _texts(node):
                sentence = _sentence(parts)
                whole = len(parts) == 1 and sentence.letters > 1
                if whole or sentence.letters >= _SHORTEST:
                    found[sentence.parts] = sentence
    return tuple(sorted(found.values(), key=lambda s: (-s.letters, s.parts)))


def _sentence(parts: tuple[str, ...]) -> Sentence:
    parts = (parts[0].lstrip(), *parts[1:])
    parts = (*parts[:-1], parts[-1].rstrip())
    return Sentence(parts, sum(c.isalpha() for part in parts for c in part))


def _texts(node: ast.AST) -> list[tuple[str, ...]]:
    """The fixed parts of a text in the code, between its gaps."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [_unformatted(node.value)]
    if isinstance(node, ast.JoinedStr):
        parts = [""]
        for value in node.values:
            if isinstance(value, ast.Constant):
                first, *rest = _unformatted(str(value.value))
                parts[-1] += first
                parts += rest
            else:
                parts.append("")
        return [tuple(parts)]
    return []


def _unformatted(text: str) -> tuple[str, ...]:
    """``text`` parted at its gaps for ``str.format``; whole where it has none or is no template."""
    parts = [""]
    try:
        for fixed, gap, _, _ in Formatter().parse(text):
            parts[-1] += fixed
            if gap is not None:
                parts.append("")
    except ValueError:
        return (text,)
    return tuple(parts)
