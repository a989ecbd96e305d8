"""The notebook of the examples runs from its first cell to its last, and shows what it says."""

from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[2] / "examples/notebook/judge_a_model.ipynb"


@pytest.mark.slow
def test_the_notebook_runs_and_shows_its_results():
    for module in ("nbclient", "nbformat", "ipykernel", "sklearn", "pandas", "pyarrow"):
        pytest.importorskip(module)
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "outputs are not kept in the repository"
    NotebookClient(
        notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": str(NOTEBOOK.parent)}}
    ).execute()
    shown = [
        output["data"]["text/html"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "text/html" in output.get("data", {})
    ]
    assert len(shown) == 3
    assert "allowed" in shown[0]
    assert "accuracy under attack" in shown[1]
    assert "nothing was executed" in shown[2]
