"""A notebook in JupyterLab or Notebook 7, driven as a student drives it: menus, keys, the toolbar.

Both pages are made of the same parts under the same names. Only what the page shows is read, never
the application's own objects. Text is read as ``textContent``, because JupyterLab leaves cells
outside the view unrendered.
"""

import re
from pathlib import Path

import nbformat
from playwright.sync_api import ConsoleMessage, Locator, Page, expect

OPEN_MS, RUN_MS = 90_000, 300_000
# Below nbgrader's time limit for one cell (nbgrader_config.py): a cell that waits for it to pass
# gets no error, so nothing else would tell.
VALIDATE_MS = 110_000
# A run that began: another number beside the first cell. It ended: no cell waits for its turn, be
# it that all have run or that an error called off the rest.
RAN = """before => {
    const prompts = [...document.querySelectorAll('.jp-Notebook .jp-CodeCell .jp-InputArea-prompt')];
    const texts = prompts.map(prompt => prompt.textContent);
    return /\\d/.test(texts[0]) && texts[0] !== before && !texts.some(text => text.includes('*'));
}"""


POINTED = """
    window.pointed = [];
    for (const kind of ['pointerdown', 'mousedown', 'pointermove', 'wheel', 'touchstart'])
        addEventListener(kind, event => window.pointed.push(kind), true);
"""


class Notebook:
    """One open notebook; cells are named by the ids that the build gives them."""

    def __init__(self, page: Page, path: Path, pictures: Path) -> None:
        self.page = page
        self.path = path
        self.cells = [cell.id for cell in self.saved().cells]
        self.complaints: list[str] = []  # errors in the browser's console
        self._pictures = pictures
        page.add_init_script(POINTED)
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.complaints.append(f"uncaught: {error.stack}"))

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(f"{message.text} ({message.location.get('url', '')})")

    def open(self, address: str) -> None:
        """Open its page and wait until every cell and the kernel are there."""
        self.page.goto(address)
        cells = self.page.locator(".jp-Notebook .jp-Cell")
        expect(cells).to_have_count(len(self.cells), timeout=OPEN_MS)
        # Before it is named the page has none: a cell that is run then asks which one to take.
        kernel = self.page.locator(".jp-Toolbar-kernelName")
        expect(kernel).to_contain_text("Python 3", timeout=OPEN_MS)
        self._wait_until_idle(OPEN_MS)

    def cell(self, name: str) -> Locator:
        """The cell with this id."""
        return self.page.locator(".jp-Notebook .jp-Cell").nth(self.cells.index(name))

    def output(self, name: str) -> str:
        """The text of the cell's outputs."""
        return "\n".join(self.cell(name).locator(".jp-OutputArea-output").all_text_contents())

    def run_all(self) -> None:
        """Run > Run All Cells; return when no cell waits any more."""
        self._run_menu("Run All Cells")

    def run_above(self, name: str) -> None:
        """Select the cell, then Run > Run All Above Selected Cell."""
        self._select(name)
        self._run_menu("Run All Above Selected Cell")

    def run(self, name: str) -> str:
        """Select the cell, press Ctrl+Enter, wait; its output as text."""
        prompt = self.cell(name).locator(".jp-InputArea-prompt")
        before = prompt.text_content()
        self._select(name)
        self.page.keyboard.press("Control+Enter")
        expect(prompt).to_have_text(re.compile(r"\[\d+\]:"), timeout=RUN_MS)
        expect(prompt).not_to_have_text(before, timeout=RUN_MS)
        self._wait_until_idle(RUN_MS)
        return self.output(name)

    def rewrite(self, name: str, old: str, new: str) -> None:
        """Put ``new`` in place of the one line ``old`` of a cell, key by key.

        ``new`` may be several lines, indented as they shall stand; the first keeps the indentation
        that ``old`` has.
        """
        line = self.cell(name).locator(".cm-line", has_text=old)
        expect(line).to_have_count(1)
        line.click()
        self.page.keyboard.press("End")
        self.page.keyboard.press("Shift+Home")
        first, *others = new.split("\n")
        self.page.keyboard.type(first.strip())
        for line in others:
            self.page.keyboard.press("Enter")
            self.page.keyboard.press("Shift+Home")  # JupyterLab's own indentation
            self.page.keyboard.type(line)
        for line in (first, *others):
            expect(self.cell(name).locator(".cm-line", has_text=line.strip())).not_to_have_count(0)

    def answer(self, name: str, old: str, new: str) -> None:
        """The same in a text cell: double-click, rewrite, Shift+Enter."""
        shown = self.cell(name).locator(".jp-MarkdownOutput")
        shown.dblclick()
        self.rewrite(name, old, new)
        self.page.keyboard.press("Shift+Enter")
        expect(shown).to_contain_text(new)

    def save(self) -> None:
        """Press Ctrl+S and wait until the server has the file."""
        with self.page.expect_response(
            lambda r: r.request.method == "PUT" and "/api/contents/" in r.url
        ) as answer:
            self.page.keyboard.press("Control+s")
        assert answer.value.ok, answer.value.status_text

    def saved(self) -> nbformat.NotebookNode:
        """The notebook as it stands on disk."""
        return nbformat.read(self.path, as_version=4)

    def validate(self, timeout: float = VALIDATE_MS) -> str:
        """Press nbgrader's Validate; what its dialog answers."""
        self.page.get_by_role("button", name="Validate").click()
        return self.validation(timeout)

    def validation(self, timeout: float = VALIDATE_MS) -> str:
        """What nbgrader's dialog answers, once it has validated."""
        dialog = self.page.locator(".jp-Dialog", has_text="Validation Results")
        expect(dialog).to_be_visible(timeout=timeout)
        return dialog.text_content()

    def close_dialog(self) -> None:
        """Answer the open dialog with Ok."""
        self.page.locator(".jp-Dialog").get_by_role("button", name="Ok").click()

    def pointed(self) -> list[str]:
        """The events of a mouse or a finger that the page has seen since it was opened."""
        return self.page.evaluate("window.pointed")

    def picture(self, title: str) -> None:
        """Keep a picture of the page as it stands."""
        self.page.screenshot(path=self._file(title))

    def picture_of(self, name: str) -> None:
        """Keep a picture of one cell, however tall it is."""
        view = self.page.viewport_size
        height = int(self.cell(name).bounding_box()["height"])
        self.page.set_viewport_size({"width": view["width"], "height": height + 400})
        self.cell(name).screenshot(path=self._file(name))
        self.page.set_viewport_size(view)

    def picture_of_all(self, title: str) -> None:
        """Keep a picture of the notebook from its first to its last cell."""
        first = self.page.locator(".jp-Notebook .jp-Cell").first
        view = self.page.viewport_size
        for _ in range(2):  # the height of a cell is a guess until it comes into view
            self.page.set_viewport_size({"width": view["width"], "height": self._height() + 200})
            first.scroll_into_view_if_needed()
        box = first.bounding_box() | {"height": self._height()}
        self.page.screenshot(path=self._file(title), clip=box)
        self.page.set_viewport_size(view)

    def _select(self, name: str) -> None:
        self.cell(name).locator(".jp-InputArea-prompt").click()

    def _run_menu(self, entry: str) -> None:
        before = self.page.locator(".jp-CodeCell .jp-InputArea-prompt").first.text_content()
        self.page.get_by_role("menuitem", name="Run", exact=True).click()
        self.page.get_by_text(entry, exact=True).click()
        self.page.wait_for_function(RAN, arg=before, timeout=RUN_MS)
        self._wait_until_idle(RUN_MS)

    def _wait_until_idle(self, timeout: float) -> None:
        status = self.page.locator(".jp-Notebook-ExecutionIndicator")
        expect(status).to_have_attribute("data-status", "idle", timeout=timeout)

    def _height(self) -> int:
        """Pixels from the top of the first cell to the bottom of the last."""
        cells = self.page.locator(".jp-Notebook .jp-Cell")
        first, last = cells.first.bounding_box(), cells.last.bounding_box()
        return int(last["y"] + last["height"] - first["y"])

    def _file(self, title: str) -> Path:
        self._pictures.mkdir(parents=True, exist_ok=True)
        return self._pictures / f"{self.path.stem[:2]}-{title}.png"
