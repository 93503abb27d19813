"""`halftone`: every command of every room, and the service, under one name."""

from commands import python
from typer.main import get_command
from typer.testing import CliRunner

from app import __main__ as service
from halftone.__main__ import command_line
from model_store.__main__ import app as store_commands
from training.__main__ import app as training_commands


def test_it_has_the_commands_of_every_room():
    commands = get_command(command_line()).commands
    rooms = {**get_command(training_commands).commands, **get_command(store_commands).commands}

    assert set(commands) == {*rooms, "compare", "serve"}


def test_a_command_does_what_it_does_in_its_room(shared_tiny_store, monkeypatch):
    monkeypatch.setenv("HALFTONE_MODELS", str(shared_tiny_store.root))
    mine = CliRunner().invoke(command_line(), ["show", "tiny"])
    rooms = CliRunner().invoke(store_commands, ["show", "tiny"])

    assert mine.exit_code == 0
    assert mine.stdout == rooms.stdout


def test_serve_hands_its_options_to_the_service(monkeypatch):
    handed: list[list[str]] = []
    monkeypatch.setattr(service, "main", lambda given: handed.append(list(given)) or 7)
    options = ["--port", "9000", "--models", "there", "--help"]

    assert CliRunner().invoke(command_line(), ["serve", *options]).exit_code == 7
    assert handed == [options]


def test_it_runs_in_a_checkout():
    done = python("-m", "halftone", "serve", "--port", "none")

    assert done.returncode == 2
    assert done.stderr.startswith("HALFTONE_PORT: ")


def test_a_training_command_without_its_packages_says_what_installs_them(tmp_path):
    without = "import sys; sys.modules['tensorflow'] = None; "
    run = "import runpy; sys.argv[1:] = ['fit', 'images', '--name', 'x']; "
    program = f"{without}{run}runpy.run_module('training', run_name='__main__')"
    done = python("-c", program, env={"HALFTONE_CACHE": str(tmp_path)})

    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "`scripts/setup train` installs what training needs." in done.stderr
    assert len(done.stderr.splitlines()) == 1
