"""Both command lines: help with examples, completion in real shells, errors and exit codes."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from commands import ROOT, unread
from commands import run as run_command
from typer.main import get_command
from typer.testing import CliRunner

from model_store import __main__ as store_commands
from training import __main__ as training_commands

APPS = {"training": training_commands.app, "model_store": store_commands.app}
COMMANDS = [(package, name) for package, app in APPS.items() for name in get_command(app).commands]


def run(package: str, *arguments: object) -> Any:
    return CliRunner().invoke(APPS[package], [str(argument) for argument in arguments])


def examples(text: str | None) -> list[list[str]]:
    return [shlex.split(line) for line in re.findall(r"`(python -m [^`]+)`", text or "")]


@pytest.mark.parametrize("package", APPS)
def test_help_shows_examples_of_its_commands(package):
    group = get_command(APPS[package])
    shown = examples(group.epilog)

    assert len(shown) >= 3
    for words in shown:
        assert words[2] == package
        assert words[3] in group.commands
    assert "Examples:" in run(package, "--help").stdout


@pytest.mark.parametrize(("package", "name"), COMMANDS)
def test_example_of_a_command_is_one_that_it_takes(package, name):
    command = get_command(APPS[package]).commands[name]
    ((_, _, module, first, *arguments),) = examples(command.epilog)
    files = [word for word in arguments if word.endswith(".keras")]
    if files:  # it checks that the file is there
        arguments = [__file__ if word in files else word for word in arguments]

    assert (module, first) == (package, name)
    command.make_context(name, arguments)  # raises on what it does not take


@pytest.mark.parametrize("package", APPS)
def test_wrong_usage_ends_with_2(package):
    for arguments in ([], ["nothing"], ["list" if package == "model_store" else "check", "--no"]):
        assert run(package, *arguments).exit_code == 2


@pytest.mark.parametrize("package", [*APPS, "app"])
def test_help_that_nobody_reads_to_its_end_ends_quietly(package):
    done = unread("-m", package, "--help")

    assert (done.returncode, done.stderr.strip()) == (1, "")


def test_output_that_is_a_folder_is_wrong_usage(tmp_path):
    result = run("training", "predict", "any", tmp_path, "-o", tmp_path)

    assert result.exit_code == 2
    assert "directory" in result.stderr


def test_what_the_system_refuses_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HALFTONE_MODELS", str(tmp_path / "file" / "models"))
        result = run("model_store", "promote", "tiny", 1)

    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.splitlines()) == 1


def test_a_file_in_place_of_a_folder_is_said_to_be_one(tmp_path):
    path = tmp_path / "images.zip"
    path.write_text("")

    result = run("training", "check", path)

    assert result.exit_code == 1
    assert result.stderr == (
        f"error: Expected a folder or an .npz file. Received: the file {path}\n"
    )


def test_ctrl_c_ends_with_130(shared_tiny_store, monkeypatch):
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setenv("HALFTONE_MODELS", str(shared_tiny_store.root))
    monkeypatch.setattr(store_commands, "verify_bundle", interrupted)
    result = run("model_store", "verify", "tiny")

    assert (result.exit_code, result.stderr) == (130, "Stopped.\n")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to complete in, with images/, script.py and two models."""
    folder = tmp_path / "folder"
    (folder / "images").mkdir(parents=True)
    (folder / "script.py").touch()
    for name in ("casting", "digits"):
        (folder / "models" / name / "1").mkdir(parents=True)
        (folder / "models" / name / "1" / "manifest.json").write_text("{}")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HALFTONE_MODELS", str(folder / "models"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PATH", f"{sys.prefix}/bin", prepend=os.pathsep)
    for home in ("HOME", "ZDOTDIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(home, str(tmp_path))
    return folder


def skip_without(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"needs {shell}")
    version = "exit $((BASH_VERSINFO[0] < 4))"
    if shell == "bash" and subprocess.run(["bash", "-c", version], check=False).returncode:
        pytest.skip("needs bash 4: older ones source nothing from <(...)")


def output(*command: str) -> str:
    done = run_command(*command, cwd=None, stdin=subprocess.DEVNULL, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def bash_offers(lines: Sequence[str]) -> list[str]:
    asked = "\n".join(f"offer {' '.join(map(shlex.quote, line.split(' ')))}" for line in lines)
    script = f"""
    {SOURCED["bash"]}
    offer() {{
      COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
      _halftone_complete "$1" "${{@: -1}}"
      [ "${{#COMPREPLY[@]}}" -gt 0 ] || COMPREPLY=($(compgen -f -- "${{@: -1}}"))
      echo "${{COMPREPLY[@]}}"  # files, as "-o default" says
    }}
    {asked}
    """
    return output("bash", "--norc", "-c", script).splitlines()


def zsh_offers(lines: Sequence[str]) -> list[str]:
    # Completion is there on a terminal only. This widget puts all that is offered into the line.
    rc = f"""
    {SOURCED["zsh"]}
    offer() {{ _main_complete; compstate[insert]=all }}
    zle -C offer complete-word offer
    zle-line-init() {{
      for line in {" ".join(map(shlex.quote, lines))}; do
        BUFFER=$line CURSOR=$#line
        zle offer
        print -r -- $BUFFER >> $ZDOTDIR/offered
      done
      exit
    }}
    zle -N zle-line-init
    """
    home = Path(os.environ["ZDOTDIR"])
    (home / ".zshrc").write_text(rc)
    terminal = "import pty, sys; pty.spawn(sys.argv[1:])"
    output(sys.executable, "-c", terminal, "zsh", "-di")
    offered = (home / "offered").read_text().splitlines()
    return [
        " ".join(buffer.split()[len(line.split(" ")) - 1 :])
        for line, buffer in zip(lines, offered, strict=True)
    ]


def fish_offers(lines: Sequence[str]) -> list[str]:
    asked = "\n".join(f"complete -C {shlex.quote(line)}; echo ---" for line in lines)
    *offered, _ = output("fish", "-c", f"{SOURCED['fish']}\n{asked}").split("---\n")
    return [" ".join(row.split("\t")[0] for row in part.splitlines()) for part in offered]


SOURCED = {
    "bash": "source <(python -m model_store --show-completion bash)",
    "zsh": "source <(python -m model_store --show-completion zsh)",
    "fish": "python -m model_store --show-completion fish | source",
}
OFFERS = {"bash": bash_offers, "zsh": zsh_offers, "fish": fish_offers}


OFFERED = {
    "python -m training ": ["check", "evaluate", "fit", "predict"],
    "python -m training fit --hei": ["--height"],
    "python3 -m model_store show ": ["casting", "digits"],
    "python -m model_store promote nothing": [],
    "python -m training predict digits images -o s": ["script.py"],
    "python script.py ima": ["images"],
    "python script.py -m training ima": ["images"],
}
# What else is offered is decided in Python, and asked of one shell.
OFFERED_IN_BASH = OFFERED | {
    "python3 -m model_store ver": ["verify"],
    "python -m training fit images --augmentation hand": ["handwriting"],
    "python -m training evaluate d": ["digits"],
    "python -m training check ima": ["images"],
}


@pytest.mark.parametrize("shell", OFFERS)
@pytest.mark.usefixtures("folder")
def test_shell_completes(shell):
    skip_without(shell)
    scripts = {run(package, "--show-completion", shell).stdout for package in APPS}
    assert len(scripts) == 1  # one completes both
    offered, expected = {}, OFFERED_IN_BASH if shell == "bash" else OFFERED
    for line, offers in zip(expected, OFFERS[shell](list(expected)), strict=True):
        words = (word.removesuffix("/") for word in offers.split())
        offered[line] = sorted(word for word in words if word != line.split(" ")[-1])

    assert offered == expected


def test_documents_say_how_to_complete():
    readme = (ROOT / "README.md").read_text()
    (option,) = get_command(store_commands.app).params
    help_text = vars(option)["help"]
    for shell in ("zsh", "fish"):
        assert f"`{SOURCED[shell]}`" in help_text
        assert f"`{SOURCED[shell].replace('model_store', 'training')}`" in readme


@pytest.mark.parametrize("package", APPS)
def test_another_shell_is_wrong_usage(package):
    result = run(package, "--show-completion", "tcsh")

    assert result.exit_code == 2
    assert all(word in result.stderr for word in ("tcsh", "bash", "zsh", "fish"))
