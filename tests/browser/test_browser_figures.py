"""A figure in JupyterLab: there once, with its caption and alternative text, run by hand or as an executed notebook."""

from __future__ import annotations

import nbclient
import nbformat
import pytest

CAPTION = 'Risk of "all" patients: 3 < 4.'
CELL = f"""
import matplotlib.pyplot as plt
from sarcnet.compendium import figures

figure, ax = plt.subplots(figsize=(3, 2))
ax.plot([1, 2])
figures.show(figure, caption={CAPTION!r})
"""
SEEN = """[...document.querySelectorAll('.jp-OutputArea-output img')].map(image => [
    image.alt, image.naturalWidth, image.closest('figure')?.querySelector('figcaption')?.textContent])"""


@pytest.mark.parametrize("executed", [False, True], ids=["by hand", "executed elsewhere"])
def test_a_figure_is_there_once_with_caption_and_alternative_text(tab, jupyterlab, executed):
    address, folder = jupyterlab
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)], metadata=kernel)
    if executed:  # JupyterLab does not trust it and sanitizes its HTML
        nbclient.NotebookClient(notebook, kernel_name="python3").execute()
    name = f"figure_{executed}.ipynb"
    nbformat.write(notebook, folder / name)
    tab.send("Emulation.setFocusEmulationEnabled", enabled=True)
    tab.open(f"{address}/doc/tree/{name}")
    open_notebook = "[...(window.jupyterapp?.shell?.widgets('main') ?? [])][0]"
    tab.wait(f"{open_notebook}?.sessionContext?.session?.kernel?.status === 'idle'", seconds=60)
    if not executed:
        tab.evaluate("void window.jupyterapp.commands.execute('notebook:run-all-cells')")
    tab.wait(f"{SEEN}.some(image => image[1])", seconds=60)
    assert tab.evaluate(SEEN) == [[CAPTION, 300, CAPTION]]
