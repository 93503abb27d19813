import csv
import os
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")
pytest.importorskip("tensorflow")

from nbclient import NotebookClient  # noqa: E402  # skipped above where it is not installed

from model_store.sources import natural_key  # noqa: E402
from model_store.store.store import ModelStore  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "examples" / "notebook.ipynb"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:jupyter_client")
def test_the_notebook_leads_from_a_folder_to_a_submission(tmp_path, monkeypatch):
    for name, value in {
        "PYTHONPATH": str(ROOT),
        "HALFTONE_MODELS": str(tmp_path / "models"),
        "HALFTONE_CACHE": str(tmp_path / "cache"),
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "JUPYTER_PLATFORM_DIRS": "1",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    }.items():
        monkeypatch.setenv(name, value)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(
        notebook, timeout=900, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    )
    client.execute(env=dict(os.environ))

    metrics = ModelStore(tmp_path / "models").bundle("notebook").manifest.metrics
    assert metrics.accuracy > 0.9
    _assert_submission_is_kaggles(tmp_path)
    assert sum(_has_picture(cell) for cell in notebook.cells) == 3


def _assert_submission_is_kaggles(folder: Path) -> None:
    with (folder / "submission.csv").open() as file:
        rows = list(csv.DictReader(file))
    from sklearn.datasets import load_digits

    names = sorted((p.name for p in (folder / "unlabelled").iterdir()), key=natural_key)
    truth = [str(load_digits().target[int(Path(name).stem)]) for name in names]
    assert [row["ImageId"] for row in rows] == [Path(name).stem for name in names]
    right = sum(row["Label"] == label for row, label in zip(rows, truth, strict=True))
    assert right / len(rows) > 0.85


def _has_picture(cell: "nbformat.NotebookNode") -> bool:
    return any("image/png" in output.get("data", {}) for output in cell.get("outputs", ()))


def test_the_notebook_is_short_and_names_no_place_of_this_machine():
    text = NOTEBOOK.read_text(encoding="utf-8")
    cells = nbformat.reads(text, as_version=4).cells
    assert 10 <= sum(cell.cell_type == "code" for cell in cells) <= 14
    assert str(ROOT) not in text
    assert str(Path.home()) not in text
