"""One JupyterLab, one Chromium and one notebook for all browser tests; each test shows its own widget in it."""

import pytest

from tests.browser.lab import Notebook, Server, Watched, chromium

SET_UP = "import torch, segwidgets\nimport torch.nn.functional as F"
HAND = (
    "x = torch.tensor([[1, 2, 6, 3], [3, 5, 2, 1], [1, 2, 2, 1], [7, 3, 4, 8.0]])[None, None]  # [1, 1, 4, 4]\n"
    "small = torch.tensor([[1, 2], [3, 4.0]])[None, None]  # [1, 1, 2, 2]\n"
    "weight = torch.tensor([[1, 2, 1], [2, 4, 2], [1, 2, 1.0]])  # [3, 3]"
)
# A listener or observer that outlives its view is one that the module, a blob, made and did not take back.
WATCH_LISTENERS = """
    window.listening = [];
    const fromWidget = () => new Error().stack.includes("blob:");
    const add = EventTarget.prototype.addEventListener;
    EventTarget.prototype.addEventListener = function (type, listener, options) {
        if (fromWidget() && !(this instanceof Element)) {
            const held = { what: type };
            listening.push(held);
            options?.signal && add.call(options.signal, "abort", () => { listening.splice(listening.indexOf(held), 1); });
        }
        return add.call(this, type, listener, options);
    };
    for (const name of ["ResizeObserver", "MutationObserver"]) {
        window[name] = class extends window[name] {
            observe(...where) {
                if (!this.held && fromWidget()) listening.push(this.held = { what: name });
                super.observe(...where);
            }
            disconnect() {
                if (this.held) listening.splice(listening.indexOf(this.held), 1);
                this.held = null;
                super.disconnect();
            }
        };
    }
"""


@pytest.fixture(scope="package")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lessons")
    running = Server(folder, tmp_path_factory.mktemp("settings"))
    yield running
    running.stop()


# Of the package and not of the session: while Playwright is on, no other test could run an event loop.
@pytest.fixture(scope="package")
def browser():
    with chromium() as running:
        yield running


@pytest.fixture(scope="package")
def opened(browser, server):
    """The notebook in which the tests show their widgets, its cells run: imports, tensors, three widgets, two free cells."""
    widgets = ["segwidgets.pool(x)", "segwidgets.unpool(small, switches_from=x)", "segwidgets.conv_transpose(small, weight, stride=2)"]
    server.write("widgets.ipynb", [SET_UP, HAND, *widgets, "", ""])
    context = browser.new_context(viewport={"width": 1100, "height": 900}, color_scheme="light", reduced_motion="no-preference")
    context.set_default_timeout(15_000)
    context.add_init_script(WATCH_LISTENERS)
    notebook = Notebook(context, server, "widgets.ipynb")
    notebook.run_all()
    yield notebook
    context.close()


@pytest.fixture
def notebook(opened):
    """The open notebook; afterwards nothing may have gone wrong on its page."""
    yield opened
    complaints, opened.complaints[:] = list(opened.complaints), []
    assert complaints == []


@pytest.fixture
def new_page(browser):
    """Makes pages of a context of their own; afterwards nothing may have gone wrong on any of them."""
    made = []

    def make(offline: bool = False, **options) -> Watched:
        context = browser.new_context(viewport={"width": 1100, "height": 900}, **options)
        context.set_default_timeout(15_000)
        context.set_offline(offline)
        made.append(Watched(context))
        return made[-1]

    yield make
    for watched in made:
        watched.page.context.close()
    assert [complaint for watched in made for complaint in watched.complaints] == []
