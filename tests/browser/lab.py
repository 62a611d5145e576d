"""A real JupyterLab and a headless Chromium, as the browser tests and the benchmark drive them."""

import secrets
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
from playwright.sync_api import Browser, BrowserContext, Locator, Page, sync_playwright

from course import programs
from course.lab import command, environment

SECONDS_TO_START = 60
CHROMIUM_OPTIONS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
CURRENT = "jupyterapp.shell.currentWidget"
NO_KERNEL = {"shouldStart": False, "canStart": False}  # as the file browser's "Open With, Notebook (no kernel)"
PAINTED = ".segw[data-state=painted]"


class Server:
    """JupyterLab as `segcourse open` starts it, with settings of its own, on a free port, for `folder`."""

    def __init__(self, folder: Path, settings: Path):
        self.folder = folder
        self.token = secrets.token_hex(8)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"
        names = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
        private = {name: str(settings / name.lower()) for name in names}
        options = [
            "--ServerApp.ip=127.0.0.1",
            f"--IdentityProvider.token={self.token}",
            "--LabApp.expose_app_in_browser=True",
            "--ServerApp.log_level=ERROR",
        ]
        self.process = subprocess.Popen(
            [*command(folder, folder / "any.ipynb", browser=False, port=port), *options],
            env=environment() | private,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._wait()

    def _wait(self) -> None:
        end = time.monotonic() + SECONDS_TO_START
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise RuntimeError(f"JupyterLab ended with {self.process.returncode}")
            try:
                with urllib.request.urlopen(f"{self.address}/api", timeout=5):
                    return
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.1)
        raise TimeoutError(f"JupyterLab was not up after {SECONDS_TO_START} s")

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def write(self, name: str, cells: list[str]) -> Path:
        """A notebook with these code cells, without outputs."""
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        path = self.folder / name
        nbformat.write(notebook, path)
        return path


class Watched:
    """A page, and everything on it that should not happen: errors, and requests that leave the machine."""

    def __init__(self, context: BrowserContext):
        self.complaints: list[str] = []
        self.page: Page = context.new_page()
        self.page.on("pageerror", lambda error: self.complaints.append(f"page error: {error}"))
        self.page.on("console", self._console)
        self.page.on("request", self._request)

    def _console(self, message) -> None:
        if message.type == "error":
            self.complaints.append(f"console error: {message.text} ({message.location.get('url', '')})")

    def _request(self, request) -> None:
        if not request.url.startswith(("http://127.0.0.1:", "data:", "blob:", "file:")):
            self.complaints.append(f"request off the machine: {request.url}")


class Notebook(Watched):
    """A notebook open in JupyterLab, with its kernel running unless `kernel` is False."""

    def __init__(self, context: BrowserContext, server: Server, name: str, kernel: bool = True):
        super().__init__(context)
        self.sent: list[str] = []  # what the page sent to the kernel
        self.page.on("websocket", self._websocket)
        self.page.goto(f"{server.address}/lab?token={server.token}&reset")
        self.page.wait_for_function("window.jupyterapp?.serviceManager.isReady")
        self.page.evaluate("() => jupyterapp.restored.then(() => { jupyterapp.shell.collapseLeft(); })")
        self.command("docmanager:open", path=name, factory="Notebook", kernelPreference=None if kernel else NO_KERNEL)
        ready = f"{CURRENT}?.sessionContext?.session?.kernel?.status === 'idle'" if kernel else f"{CURRENT}?.content?.model"
        self.page.wait_for_function(ready, timeout=60_000)

    def _websocket(self, socket) -> None:
        if "/channels" in socket.url:
            socket.on("framesent", lambda frame: self.sent.append(str(frame)[:200]))

    def command(self, name: str, **arguments) -> None:
        self.page.evaluate("([name, args]) => jupyterapp.commands.execute(name, args)", [name, arguments])

    def run_all(self) -> None:
        self.command("notebook:run-all-cells")

    def python(self, code: str, wait: bool = True) -> None:
        """Run code in the notebook's kernel, without a cell."""
        run = f"code => {CURRENT}.sessionContext.session.kernel.requestExecute({{code}}, true)"
        if wait:
            reply = self.page.evaluate(f"async code => (await ({run})(code).done).content", code)
            assert reply["status"] == "ok", "\n".join(reply.get("traceback", []))
        else:
            self.page.evaluate(f"code => {{ ({run})(code); }}", code)

    def show(self, code: str, cell: int = -1, painted: bool = True, wait: bool = True) -> Locator:
        """Run `code` in a cell, the last one unless another is named; give the widget that it shows, painted, or else the output.
        Unless told not to `wait`, the cell has ended by then."""
        run = """async ([code, cell, wait]) => {
            const notebook = jupyterapp.shell.currentWidget.content;
            notebook.activeCellIndex = cell < 0 ? notebook.widgets.length + cell : cell;
            notebook.activeCell.model.sharedModel.setSource(code);
            notebook.activeCell.model.clearExecution();
            await notebook.scrollToItem(notebook.activeCellIndex);
            const ended = jupyterapp.commands.execute("notebook:run-cell");
            if (wait) await ended;
        }"""
        self.page.evaluate(run, [code, cell, wait])
        if not painted:
            return self.output(cell)
        root = self.output(cell).locator(PAINTED).first
        root.wait_for()
        return root

    def clear(self, cell: int = -1) -> None:
        """Clear a cell's output, and wait until its widgets are gone."""
        choose = f"cell => {{ const all = {CURRENT}.content; all.activeCellIndex = cell < 0 ? all.widgets.length + cell : cell; }}"
        self.page.evaluate(choose, cell)
        self.command("notebook:clear-cell-output")
        self.output(cell).locator(".segw").wait_for(state="detached")

    def output(self, cell: int) -> Locator:
        index = cell if cell >= 0 else self.cells() + cell
        return self.page.locator(f".jp-Cell[data-windowed-list-index='{index}'] .jp-OutputArea")

    def cells(self) -> int:
        return self.page.evaluate(f"{CURRENT}.content.widgets.length")

    def status(self) -> str:
        return self.page.evaluate(f"{CURRENT}.sessionContext.session.kernel.status")


@contextmanager
def chromium() -> Iterator[Browser]:
    """The Chromium that `segcourse doctor` reports, headless."""
    path = programs.chromium()
    assert path is not None, "Chromium is missing: `python -m tests` gets it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_OPTIONS)
        try:
            yield browser
        finally:
            browser.close()
