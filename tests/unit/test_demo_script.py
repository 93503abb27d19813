"""scripts/demo, where it refuses; tests/integration/test_readme.py lets it serve."""

from commands import run


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
