"""Both command lines: help with examples, completion in a real bash, errors and exit codes."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from model_store import __main__ as store_commands
from model_store.store import ModelStore
from training import __main__ as training_commands

ROOT = Path(__file__).parents[2]
APPS = {"training": training_commands.app, "model_store": store_commands.app}
COMMANDS = [(package, name) for package, app in APPS.items() for name in get_command(app).commands]


def run(package: str, *arguments: object) -> Any:
    return CliRunner().invoke(APPS[package], [str(argument) for argument in arguments])


def examples(text: str | None) -> list[list[str]]:
    return [shlex.split(line) for line in re.findall(r"`(python -m [^`]+)`", text or "")]


@pytest.mark.parametrize("package", APPS)
def test_help_shows_examples_of_its_commands(package: str) -> None:
    group = get_command(APPS[package])
    shown = examples(group.epilog)

    assert len(shown) >= 3
    for words in shown:
        assert words[2] == package
        assert words[3] in group.commands
    assert "Examples:" in run(package, "--help").stdout


@pytest.mark.parametrize(("package", "name"), COMMANDS)
def test_example_of_a_command_is_one_that_it_takes(package: str, name: str) -> None:
    command = get_command(APPS[package]).commands[name]
    ((_, _, module, first, *arguments),) = examples(command.epilog)
    files = [word for word in arguments if word.endswith(".keras")]
    if files:  # it checks that the file is there
        arguments = [__file__ if word in files else word for word in arguments]

    assert (module, first) == (package, name)
    command.make_context(name, arguments)  # raises on what it does not take


@pytest.mark.parametrize("package", APPS)
def test_wrong_usage_ends_with_2(package: str) -> None:
    for arguments in ([], ["nothing"], ["list" if package == "model_store" else "check", "--no"]):
        assert run(package, *arguments).exit_code == 2


def test_output_that_is_a_folder_is_wrong_usage(tmp_path: Path) -> None:
    result = run("training", "predict", "any", tmp_path, "-o", tmp_path)

    assert result.exit_code == 2
    assert "directory" in result.stderr


def test_what_the_system_refuses_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HALFTONE_MODELS", str(tmp_path / "file" / "models"))
        result = run("model_store", "promote", "tiny", 1)

    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.splitlines()) == 1


def test_a_file_in_place_of_a_folder_is_said_to_be_one(tmp_path: Path) -> None:
    path = tmp_path / "images.zip"
    path.write_text("")

    result = run("training", "check", path)

    assert result.exit_code == 1
    assert result.stderr == (
        f"error: Expected a folder or an .npz file. Received: the file {path}\n"
    )


def test_ctrl_c_ends_with_130(
    shared_tiny_store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setenv("HALFTONE_MODELS", str(shared_tiny_store.root))
    monkeypatch.setattr(store_commands, "verify_bundle", interrupted)
    result = run("model_store", "verify", "tiny")

    assert (result.exit_code, result.stderr) == (130, "Stopped.\n")


def complete(line: str, folder: Path) -> list[str]:
    """Return what bash offers for the last word of `line`."""
    words = [*shlex.split(line), *([""] if line.endswith(" ") else [])]
    script = f"""
    source <({shlex.quote(sys.executable)} -m model_store --show-completion)
    COMP_WORDS=({" ".join(map(shlex.quote, words))})
    COMP_CWORD={len(words) - 1}
    _halftone_complete {shlex.quote(sys.executable)} {shlex.quote(words[-1])}
    printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(
        ["bash", "--norc", "-euc", script],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("python -m training ", ["check", "fit", "evaluate", "predict"]),
        ("python -m model_store ver", ["verify"]),
        ("python -m training fit --hei", ["--height"]),
        ("python -m training fit images --augmentation hand", ["handwriting"]),
        ("python -m model_store show ", ["casting", "digits"]),
        ("python -m training evaluate d", ["digits"]),
        ("python -m model_store promote nothing", []),
        ("python -m training check ima", []),  # bash itself completes files
        ("python -m http.server ", []),
        ("python script.py -", []),
    ],
)
def test_bash_completes(
    line: str, offered: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("bash") is None:
        pytest.skip("needs bash")
    for name in ("casting", "digits"):
        (tmp_path / "models" / name / "1").mkdir(parents=True)
        (tmp_path / "models" / name / "1" / "manifest.json").write_text("{}")
    monkeypatch.setenv("HALFTONE_MODELS", str(tmp_path / "models"))

    assert complete(line, tmp_path) == offered


@pytest.mark.parametrize("package", APPS)
def test_script_for_completion_is_what_bash_understands(package: str) -> None:
    if shutil.which("bash") is None:
        pytest.skip("needs bash")
    script = run(package, "--show-completion").stdout
    done = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False)

    assert "complete" in script
    assert (done.returncode, done.stderr) == (0, "")
