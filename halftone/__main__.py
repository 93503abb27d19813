"""halftone check | fit | … | serve: every command in one; in a checkout, python -m halftone."""

import sys
from pathlib import Path
from typing import Annotated

import typer

_HERE = Path(__file__).parent


def main() -> None:
    """Run the command line."""
    # Installed, the rooms lie in this folder and not beside other people's packages. They know each
    # other by their short names; the processes that they start inherit this path.
    if (_HERE / "app").is_dir():
        sys.path.insert(0, str(_HERE))
    from model_store.command_line import run
    from training.__main__ import stop_as_by_hand

    stop_as_by_hand()
    run(command_line(), "halftone", sys.argv[1:])


def command_line() -> typer.Typer:
    """Return the commands of all rooms, and `serve`."""
    from model_store.__main__ import app as store
    from model_store.__main__ import diff
    from training.__main__ import app as training

    commands = typer.Typer(
        help="From a folder of labelled images to a production REST classifier.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
    )
    for room in (training, store):
        commands.registered_commands += room.registered_commands
    commands.command("compare", help="The same as diff.")(diff)
    # The service reads its own options, as for `python -m app`, and its help lists the settings.
    reads_nothing = {"ignore_unknown_options": True}
    commands.command("serve", add_help_option=False, context_settings=reads_nothing)(_serve)
    return commands


def _serve(
    arguments: Annotated[list[str] | None, typer.Argument(metavar="[OPTIONS]")] = None,
) -> None:
    """Serve the models of the store over HTTP: --port 9000 --models DIR; needs no TensorFlow."""
    from app.__main__ import main as serve

    raise typer.Exit(serve(arguments or ()))


if __name__ == "__main__":
    main()
