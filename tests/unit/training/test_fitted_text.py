"""What `fit` prints last: what is stored, whether it serves, and where to look when it refuses."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from model_store.store.store import ModelStore
from training import fit as fitting
from training.__main__ import app
from training.errors import NotLearning
from training.fit import Fitted
from training.fitted_text import describe_fitted

ROOT = Path(__file__).parents[3]


@pytest.fixture
def fitted(shared_tiny_store: ModelStore) -> Fitted:
    return Fitted(shared_tiny_store.bundle("tiny"), promoted=True, reason="it is the first")


def test_pictures_that_are_stored_are_said_with_the_option_that_keeps_them_out(fitted):
    stored, left_out = (
        describe_fitted(fitted, "models/parts/1", images_in_bundle=kept) for kept in (True, False)
    )
    (said,) = [line for line in stored if line not in left_out]

    assert said.startswith("Up to 8 of your images are stored in the bundle")
    assert "--without-images" in said
    assert "images" not in "\n".join(left_out[1:])
    assert stored[-1] == left_out[-1] == "serve it: HALFTONE_MODEL=tiny python -m app"


def test_a_refusal_names_the_page_that_says_what_to_look_at(monkeypatch, tmp_path):
    def refuse(*_: object) -> Fitted:
        raise NotLearning("The model is not learning.")

    monkeypatch.setattr(fitting, "fit", refuse)
    monkeypatch.setenv("HALFTONE_MODELS", str(tmp_path))
    result = CliRunner().invoke(app, ["fit", "images", "--name", "x"])
    page, _, anchor = result.stderr.split()[-1].partition("#")

    assert result.exit_code == 1
    assert f"## {anchor.replace('-', ' ')}" in (ROOT / page).read_text().lower()
