"""scripts/setup: what it installs into an environment that holds something already.

And scripts/demo, where it refuses; tests/integration/test_readme.py lets it serve.
"""

import shutil
import subprocess
from pathlib import Path

import pytest
from commands import ROOT, run

# Says yes to every question, and writes down what pip is asked to install.
PYTHON = '#!/bin/sh\ncase "$*" in *" install "*) echo "$*" >> pip.log ;; esac\n'


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with small requirements and a Python that installs nothing."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "setup", tmp_path / "scripts")
    (tmp_path / "requirements").mkdir()
    for name in ("serve", "train", "dev", "tools"):
        (tmp_path / "requirements" / f"{name}.txt").write_text(name)
    for venv in (".venv", ".venv-tools"):
        python = tmp_path / venv / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.write_text(PYTHON)
        python.chmod(0o755)
    return tmp_path


def setup(checkout: Path, *arguments: str) -> list[str]:
    """Run the script; return which requirements it installed."""
    log = checkout / "pip.log"
    log.unlink(missing_ok=True)
    run(checkout / "scripts" / "setup", *arguments, check=True)
    return [line.split("/")[-1] for line in log.read_text().splitlines()] if log.exists() else []


def test_an_environment_grows_in_place(checkout):
    assert setup(checkout, "serve") == ["serve.txt"]
    assert setup(checkout, "serve") == []
    assert setup(checkout, "train") == ["train.txt"]
    assert setup(checkout) == ["dev.txt"]


def test_an_environment_that_holds_more_will_do(checkout):
    setup(checkout)

    assert setup(checkout, "serve") == setup(checkout, "train") == setup(checkout) == []


def test_an_environment_of_other_requirements_is_brought_up_to_date(checkout):
    setup(checkout)
    for name in ("serve", "train", "dev"):
        (checkout / "requirements" / f"{name}.txt").write_text(f"a newer {name}")

    assert setup(checkout, "serve") == ["serve.txt"]
    assert setup(checkout) == ["dev.txt"]


def test_another_environment_takes_any_requirements(checkout):
    assert setup(checkout, ".venv-tools", "requirements/tools.txt") == ["tools.txt"]
    assert setup(checkout, ".venv-tools", "requirements/tools.txt") == []
    assert setup(checkout, "serve") == ["serve.txt"]


def test_a_word_that_it_does_not_know_is_refused(checkout):
    with pytest.raises(subprocess.CalledProcessError) as refused:
        setup(checkout, "trian")

    assert "expected serve, train, dev" in refused.value.stderr


def test_demo_says_of_a_bucket_what_serves_one_and_repeats_no_address():
    done = run("scripts/demo", env={"HALFTONE_MODELS": "s3://key:secret@bucket"})

    assert done.returncode == 1
    assert "HALFTONE_MODELS names a bucket" in done.stderr
    assert ".venv/bin/python -m app" in done.stderr
    assert "secret" not in done.stderr


def test_demo_says_of_a_folder_without_the_model_what_brings_it(tmp_path):
    done = run("scripts/demo", env={"HALFTONE_MODELS": str(tmp_path)})

    assert done.returncode == 1
    assert "no model digits" in done.stderr
    assert "git checkout models/digits" in done.stderr


def test_demo_refuses_arguments_instead_of_ignoring_them():
    done = run("scripts/demo", "--port", "9000")

    assert done.returncode == 2
    assert "received: --port 9000" in done.stderr
    assert "PORT=9000 scripts/demo" in done.stderr
