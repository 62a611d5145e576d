"""Dark and light, and the wish for less motion."""

import pytest

# The colours as they meet the eye: each text over all that lies behind it, by WCAG's contrast ratio.
CONTRASTS = """root => {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const rgba = (colour) => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
        return [r, g, b, a / 255];
    };
    const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3]));
    const painted = (element) => { // a digit on a heat map lies on its cell's colour
        const picture = element.dataset?.ink && element.parentElement.querySelector(".segw-canvas");
        if (!picture) return null;
        const cell = Number(element.dataset.cell);
        const [r, g, b] = picture.getContext("2d").getImageData(cell % picture.width, Math.floor(cell / picture.width), 1, 1).data;
        return [r, g, b];
    };
    const behind = (element) => {
        const layers = [];
        for (let each = element; each; each = each.parentElement) layers.unshift(rgba(getComputedStyle(each).backgroundColor));
        return layers.reduce((under, top) => over(top, under), [255, 255, 255]);
    };
    const light = (colour) => {
        const [r, g, b] = colour.map((part) => (part /= 255) <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const texts = [...root.querySelectorAll("*")].filter((each) =>
        !each.disabled && [...each.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim()));
    return texts.map((each) => {
        const under = painted(each) ?? behind(each), ink = over(rgba(getComputedStyle(each).color), under);
        const [high, low] = [light(ink), light(under)].sort((a, b) => b - a);
        return [[each.className, each.dataset.roleText ?? "", each.textContent].join(" "), (high + 0.05) / (low + 0.05)];
    });
}"""


def change_theme(notebook, name):
    notebook.command("apputils:change-theme", theme=f"JupyterLab {name.title()}")
    # Until JupyterLab's splash is gone a second change makes it stumble over its own first.
    done = "light => document.body.dataset.jpThemeLight === String(light) && !document.querySelector('#jupyterlab-splash')"
    notebook.page.wait_for_function(done, arg=name == "light")


@pytest.fixture(params=["light", "dark"])
def theme(request, notebook):
    change_theme(notebook, request.param)
    yield request.param
    change_theme(notebook, "light")


@pytest.mark.parametrize(
    "code",
    [
        "segwidgets.pool(x)",
        "segwidgets.unpool(small, switches_from=x)",
        "segwidgets.conv_transpose(small, weight, stride=2)",
        "segwidgets.pool(x, fn=lambda x, k, s, p: x[..., ::2, ::2])",
    ],
    ids=["pool", "unpool", "conv_transpose", "wrong"],
)
def test_every_text_can_be_read_in_both_themes(notebook, theme, code):
    root = notebook.show(code)
    assert root.get_attribute("data-theme") == theme
    seen = {}
    for key in ("Home", "ArrowRight", "ArrowRight", "p", "ArrowRight", "p", "End"):
        root.press(key)
        # Colours ease in 200 ms; what counts is where they arrive.
        root.evaluate("root => Promise.allSettled(root.getAnimations({ subtree: true }).map(each => each.finished))")
        for text, ratio in root.evaluate(CONTRASTS):
            seen[text] = min(ratio, seen.get(text, ratio))
    assert len(seen) > 20
    assert {text: round(ratio, 2) for text, ratio in seen.items() if ratio < 4.5} == {}


def test_an_open_widget_follows_the_theme(notebook):
    root = notebook.show("segwidgets.pool(x)")
    role = "root => getComputedStyle(root).getPropertyValue('--segw-read')"
    paper = "root => getComputedStyle(root).backgroundColor"
    before = root.get_attribute("data-theme"), root.evaluate(role), root.evaluate(paper)
    change_theme(notebook, "dark")
    notebook.page.wait_for_function("root => root.dataset.theme === 'dark'", arg=root.element_handle())
    after = root.get_attribute("data-theme"), root.evaluate(role), root.evaluate(paper)
    change_theme(notebook, "light")
    notebook.page.wait_for_function("root => root.dataset.theme === 'light'", arg=root.element_handle())
    assert before[0] == "light" and all(one != other for one, other in zip(before, after, strict=True))
    assert (root.get_attribute("data-theme"), root.evaluate(role), root.evaluate(paper)) == before


def test_who_wants_less_motion_starts_paused_on_the_last_frame(notebook):
    notebook.page.emulate_media(reduced_motion="reduce")
    try:
        root = notebook.show("segwidgets.pool(x)")
        assert (root.get_attribute("data-step"), root.get_attribute("data-playing")) == ("5", "false")
        assert root.locator("[data-panel=pooled] .segw-cell").all_text_contents() == ["5", "6", "7", "8"]
        root.press("ArrowLeft")
        moving = "root => [...root.querySelectorAll('*')].filter(each => getComputedStyle(each).transitionDuration !== '0s').length"
        assert root.evaluate(moving) == 0
    finally:
        notebook.page.emulate_media(reduced_motion="no-preference")


@pytest.mark.parametrize("width", [1100, 560, 420])
def test_nothing_is_cut_off_in_a_narrow_window(notebook, width):
    """Long numbers, a long caption, four panels: everything stays inside the widget, and the page need not be scrolled sideways."""
    notebook.page.set_viewport_size({"width": width, "height": 900})
    try:
        root = notebook.show("segwidgets.unpool(torch.tensor([[0.123, -1e-5], [12345, 1e8]]), switches_from=x)")
        root.press("End")
        outside = """root => { const frame = root.getBoundingClientRect(); return [...root.querySelectorAll("*")].filter((each) => {
            const { left, right, width } = each.getBoundingClientRect();
            return width && (left < frame.left - 1 || right > frame.right + 1);
        }).map((each) => each.className?.baseVal ?? each.className); }"""
        assert root.evaluate(outside) == []
        cut = """root => [...root.querySelectorAll(".segw-cell")].filter((cell) => cell.scrollWidth > cell.clientWidth + 1)
            .map((cell) => cell.textContent)"""
        assert root.evaluate(cut) == []
    finally:
        notebook.page.set_viewport_size({"width": 1100, "height": 900})


def test_no_question_of_jupyterlab_lies_over_the_lesson(notebook):
    """It would ask whether to fetch news; the course's own settings folder answers for those who have not said otherwise."""
    notebook.page.wait_for_function("() => jupyterapp.serviceManager.isReady")
    overrides = notebook.page.evaluate(
        "() => jupyterapp.serviceManager.settings.fetch('@jupyterlab/apputils-extension:notification').then(each => each.schema.properties"
        ".fetchNews.default)"
    )
    assert overrides == "false"
    assert notebook.page.get_by_text("Would you like to get notified").count() == 0
