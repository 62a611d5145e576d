"""YOLO's grid: a click on the photograph reads another cell's numbers out, and a slider leaves other boxes."""

from tests.browser.test_picking import button, click
from tests.browser.test_settings import says

MAKE = """
cells = torch.zeros(3, 3, 13)
cells[..., 2:4] = cells[..., 7:9] = 0.3
cells[..., 10:] = torch.tensor([0.5, 0.25, 0.25])
cells[2, 1, 5:10] = torch.tensor([0.5, 0.5, 0.25, 0.5, 0.75])
cells[2, 1, 10:] = torch.tensor([0.0, 0.0, 1.0])
truth = {"boxes": torch.tensor([[30.0, 60, 60, 90]]), "labels": torch.tensor([3])}

def yolo():
    names = ("circle", "star", "ring")
    return segwidgets.grid_predictions(torch.full((3, 90, 90), 0.5), lambda image: cells, classes=names, truth=truth, cell=(0, 0))
"""


def test_the_cell_that_is_clicked_is_read_out(notebook):
    notebook.python(MAKE)
    root = notebook.show("yolo()")
    click(root, "photograph", 180, 300, 360)
    says(root, "answered in ")
    assert button(root, "cell").text_content() == "cell: row 2, column 1"
    root.page.wait_for_function(
        "root => root.textContent.includes('Row 2, column 1, a ring with 1: box 0, score 0')", arg=root.element_handle()
    )
    bars = root.locator("[data-panel=numbers] .segw-bar .segw-value").all_text_contents()
    assert bars == ["0", "0.75", "0", "0", "1"]
    box = root.locator("[data-panel=photograph] .segw-box[data-role=chosen]")
    assert box.count() == 1 and box.text_content() == "ring 0.75"
    score = root.locator("[data-setting=score_threshold]")
    score.fill("0.8")
    root.page.wait_for_function(
        "root => root.textContent.includes('score above 0.8: 0 of 18 boxes') && !root.querySelector('.segw-box[data-role=chosen]')",
        arg=root.element_handle(),
    )
