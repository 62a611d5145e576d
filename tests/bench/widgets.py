"""How fast a widget is, beside the two usual ways to show the same animation, in the same run.

All three play max pooling of a 20 × 20 map, a window at a time, in a real JupyterLab: segwidgets; matplotlib's `to_jshtml`;
and an ipywidgets slider that redraws a matplotlib figure in the kernel.
"""

import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.bench.table import Row
from tests.browser.lab import CURRENT, Notebook, Server, chromium

SECONDS = 3
INTERVAL = 50  # ms a picture stays: the player's own pace for these 102 steps at 4 times

SET_UP = """
import io, time, torch, ipywidgets, segwidgets
%matplotlib inline
import matplotlib.pyplot as plt
from matplotlib.animation import FuncAnimation
from matplotlib.patches import Rectangle
from IPython.display import HTML, display
x = torch.linspace(0, 1, 400).reshape(20, 20).sin()
pooled = torch.nn.functional.max_pool2d(x[None], 2)[0]
"""
FIGURE = """
figure, (left, right) = plt.subplots(1, 2, figsize=(7, 3.5))
left.imshow(x, vmin=0, vmax=1)
shown = right.imshow(torch.full((10, 10), torch.nan), vmin=0, vmax=1)
window = left.add_patch(Rectangle((-0.5, -0.5), 2, 2, fill=False, edgecolor="#0072B2", linewidth=2))
def draw(step):
    so_far = pooled.flatten().clone()
    so_far[step:] = torch.nan
    shown.set_data(so_far.reshape(10, 10))
    window.set_xy((max(0, step - 1) % 10 * 2 - 0.5, max(0, step - 1) // 10 * 2 - 0.5))
    figure.suptitle(f"step {step}")
plt.close(figure)
"""
# Computing, as a training cell does; ipykernel 7 serves widgets beside a kernel that only sleeps.
BUSY = f"import time\nend = time.monotonic() + {SECONDS + 2}\nwhile time.monotonic() < end: sum(range(10_000))"

# Runs the cell and waits for the picture: both times in ms on the page's own clock.
PAINT = """async ([code, picture]) => {
    const notebook = jupyterapp.shell.currentWidget.content;
    notebook.activeCellIndex = notebook.widgets.length - 1;
    notebook.activeCell.model.clearExecution();
    notebook.activeCell.model.sharedModel.setSource(code);
    const output = notebook.activeCell.node.querySelector(".jp-OutputArea");
    const frame = () => new Promise(requestAnimationFrame);
    await frame();
    const start = performance.now();
    let ran = null;
    jupyterapp.commands.execute("notebook:run-cell").then(() => { ran = performance.now(); });
    const ready = () => {
        const found = output.querySelector(picture);
        return found && (found.complete ?? true) && found.naturalWidth !== 0;
    };
    while (ran === null || !ready()) {
        await frame();
        if (performance.now() - start > 120_000) throw new Error(`no ${picture} after two minutes: ${output.textContent.slice(0, 500)}`);
    }
    await frame();
    if (!output.querySelector(".segw")) await frame(); // ours says when it is painted; the others' second frame is waited for here
    return [performance.now() - start, performance.now() - ran];
}"""
# Screen refreshes and changes of the picture, both a second.
RATES = """async ([watched, seconds]) => {
    const output = jupyterapp.shell.currentWidget.content.activeCell.node.querySelector(".jp-OutputArea");
    let frames = 0, pictures = 0;
    const seen = new MutationObserver((changes) => { pictures += watched(changes, output); });
    seen.observe(output, { subtree: true, attributes: true, childList: true });
    const start = performance.now();
    while (performance.now() - start < 1000 * seconds) { await new Promise(requestAnimationFrame); frames++; }
    seen.disconnect();
    return [frames / seconds, pictures / seconds];
}"""


@dataclass
class Way:
    """One way to show the animation: the cell that does it, what is on the page then, and how it is set playing."""

    name: str
    code: str
    picture: str
    play: str  # JavaScript with `output`
    stop: str
    changed: str  # JavaScript with `changes`: how many new pictures these are
    kilobytes: str  # Python: what travels to the page
    saved: str  # Python: what the saved notebook keeps


def press(*keys: str) -> str:
    """JavaScript that presses keys on our widget."""
    return f"""for (const key of {list(keys)})
        output.querySelector(".segw").dispatchEvent(new KeyboardEvent("keydown", {{ key, bubbles: true }}))"""


WAYS = [
    Way(
        "segwidgets",
        "player = segwidgets.pool(x)\nplayer",
        ".segw[data-state=painted]",
        press("Home", *"]]]]]", "[", " "),  # from the first step, at 4 times: five seconds to the last
        press("Home"),
        "changes.filter((each) => each.attributeName === 'data-step').length",
        "player.trace.nbytes",
        "len(segwidgets.still.animated_png(player.trace)[0])",
    ),
    Way(
        "to_jshtml",
        f"{FIGURE}\nhtml = FuncAnimation(figure, draw, frames=102, interval={INTERVAL}).to_jshtml(default_mode='loop')\nHTML(html)",
        ".animation img",
        "output.querySelector('.anim-buttons [title=Play]').click()",
        "output.querySelector('.anim-buttons [title=Pause]').click()",
        "changes.filter((each) => each.attributeName === 'src').length",
        "len(html)",
        "len(html)",
    ),
    Way(
        "slider",
        f"""{FIGURE}
def show(step):
    draw(step)
    display(figure)
slider = ipywidgets.IntSlider(0, 0, 101)
play = ipywidgets.Play(0, 0, 101, interval={INTERVAL}, repeat=True)
ipywidgets.jslink((play, "value"), (slider, "value"))
display(play, ipywidgets.interactive(show, step=slider))""",
        ".jp-RenderedImage img",
        "output.querySelector('.jupyter-widgets.widget-play button').click()",
        "output.querySelector('.jupyter-widgets.widget-play button').click()",
        "changes.flatMap((each) => [...each.addedNodes]).filter((node) => node.querySelector?.('img') || node.tagName === 'IMG').length",
        "one_picture()",
        "0",
    ),
]


def measure_way(notebook: Notebook, way: Way, runs: int) -> dict[str, float]:
    painted = [notebook.page.evaluate(PAINT, [way.code, way.picture]) for _ in range(runs)]
    found = {
        "run the cell to painted, ms": statistics.median(each[0] for each in painted),
        "cell has run to painted, ms": statistics.median(each[1] for each in painted),
    }
    act(notebook, way.play)
    notebook.page.wait_for_timeout(500)
    notebook.sent.clear()
    frames, pictures = rates(notebook, way)
    found |= {"screen frames a second, playing": frames, f"pictures a second, {1000 / INTERVAL:.0f} asked for": pictures}
    found["messages to the kernel a second"] = len(notebook.sent) / SECONDS
    act(notebook, way.stop)
    wait_for_status(notebook, "idle")
    notebook.python(BUSY, wait=False)
    wait_for_status(notebook, "busy")
    act(notebook, way.play)
    frames, pictures = rates(notebook, way)
    found |= {"screen frames a second, kernel busy": frames, "pictures a second, kernel busy": pictures}
    act(notebook, way.stop)
    wait_for_status(notebook, "idle")
    found["sent to the page, kB (slider: a picture)"] = number_in_kernel(notebook, way.kilobytes) / 1000
    found["kept in the saved notebook, kB"] = number_in_kernel(notebook, way.saved) / 1000
    return found


def wait_for_status(notebook: Notebook, status: str) -> None:
    notebook.page.wait_for_function(f"status => {CURRENT}.sessionContext.session.kernel.status === status", arg=status)


def act(notebook: Notebook, script: str) -> None:
    notebook.page.evaluate(f"""() => {{
        const output = {CURRENT}.content.activeCell.node.querySelector(".jp-OutputArea");
        {script};
    }}""")


def rates(notebook: Notebook, way: Way) -> list[float]:
    return notebook.page.evaluate(f"(seconds) => ({RATES})([(changes) => {way.changed}, seconds])", SECONDS)


def number_in_kernel(notebook: Notebook, expression: str) -> float:
    ask = f"""async (code) => {{
        const done = {CURRENT}.sessionContext.session.kernel.requestExecute({{ code: "", user_expressions: {{ it: code }} }}).done;
        return Number((await done).content.user_expressions.it.data["text/plain"]);
    }}"""
    return notebook.page.evaluate(ask, expression)


def measure(quick: bool) -> list[Row]:
    results = {}
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        lessons = Path(folder) / "lessons"
        lessons.mkdir()
        server = Server(lessons, Path(folder) / "settings")
        try:
            server.write("bench.ipynb", [SET_UP, ""])
            notebook = Notebook(browser.new_context(viewport={"width": 1200, "height": 900}), server, "bench.ipynb")
            notebook.page.set_default_timeout(120_000)
            notebook.python(SET_UP)
            notebook.python(ONE_PICTURE)
            for way in WAYS:
                results[way.name] = measure_way(notebook, way, 2 if quick else 5)
        finally:
            server.stop()
    ours = results.pop("segwidgets")
    return [Row(name, value, {peer: found[name] for peer, found in results.items()}) for name, value in ours.items()]


ONE_PICTURE = """
def one_picture():
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.tell()
"""
