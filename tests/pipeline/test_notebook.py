"""The example notebook runs, from top to bottom, on a run and workers of ours."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "docs/notebooks/explore_a_run.ipynb"


# The kernel's channels are sockets on loopback whose owners are collected late.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_example_notebook_runs(image_run, workers, tmp_path):
    book = nbformat.read(NOTEBOOK, as_version=4)
    first = next(cell for cell in book.cells if cell.cell_type == "code")
    for written, instead in (('"runs/demo"', str(image_run)), ('"local"', workers)):
        assert written in first.source
        first.source = first.source.replace(written, repr(instead))
    client = NotebookClient(
        book, timeout=200, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()  # raises where a cell does
    kinds = [set(o.get("data", ())) for cell in book.cells for o in cell.get("outputs", ())]
    assert sum("image/png" in kind for kind in kinds) == 3
    printed = "".join(o.get("text", "") for o in book.cells[1].outputs)
    assert "networks mnn, mlp, xgboost" in printed


def test_its_outputs_are_kept():
    book = nbformat.read(NOTEBOOK, as_version=4)
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert all(cell.outputs for cell in code[:-1])
