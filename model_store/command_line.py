"""What the command lines of `model_store` and `training` share: errors, exit codes, completion."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from typing import Annotated, NoReturn

import typer
from typer.completion import get_completion_inspect_parameters

from model_store import completion
from model_store.errors import ModelStoreError
from model_store.spec import MAX_16
from model_store.store.store import ModelStore, default_root

INTERRUPTED = 130  # as shells say it of what Ctrl-C ended


def complete_name(incomplete: str) -> list[str]:
    """Return the models in the store whose names begin with `incomplete`."""
    try:
        return [name for name in ModelStore(default_root()).names() if name.startswith(incomplete)]
    except ModelStoreError:
        return []


ModelName = Annotated[
    str, typer.Argument(metavar="NAME", help="A model in the store.", autocompletion=complete_name)
]


Depth16Max = Annotated[
    int,
    typer.Option(
        min=1,
        max=MAX_16,
        help="Which value of a 16-bit grayscale image is white: 4095 for 12 bits in 16.",
    ),
]


def command_line(help_text: str, *examples: str) -> typer.Typer:
    """Return an empty command line with --show-completion, and `examples` below its help."""
    # Makes typer know its shells, as its own options do; but those complete one-word commands only.
    get_completion_inspect_parameters()
    app = typer.Typer(
        help=help_text,
        epilog="\n\n".join(["Examples:", *(f"`{example}`" for example in examples)]),
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
    )

    @app.callback()
    def options(
        show_completion: Annotated[
            completion.Shell | None,
            typer.Option(
                callback=_show_completion,
                is_eager=True,
                help="Print what completes commands, options and models in that shell: for the end "
                "of ~/.bashrc, ~/.zshrc or ~/.config/fish/config.fish. For one session: "
                "`source <(python -m model_store --show-completion zsh)`, or in fish: "
                "`python -m model_store --show-completion fish | source`",
            ),
        ] = None,
    ) -> None: ...

    return app


def run(app: typer.Typer, program: str, arguments: Sequence[str]) -> NoReturn:
    """Run what `program` calls, and end the process: 0, 1 for a failure, 2 for wrong usage."""
    if isinstance(sys.stdout, TextIOWrapper):
        # A path that is no UTF-8, or a letter that the terminal lacks, must not end a command.
        sys.stdout.reconfigure(errors="backslashreplace")
    app(args=list(arguments), prog_name=program, complete_var=completion.VARIABLE)
    raise SystemExit


@contextmanager
def one_sentence_errors(*expected: type[Exception]) -> Iterator[None]:
    """End with a sentence and 1 on the store's, the system's and `expected` errors."""
    ours: tuple[type[Exception], ...] = (ModelStoreError, *expected)
    try:
        yield
    except BrokenPipeError:  # whoever read has seen enough; click ends quietly
        raise
    except ours as error:
        fail(str(error), error)
    except OSError as error:
        where = f"{error.filename}: " if error.filename is not None else ""
        fail(f"{where}{error.strerror or error}", error)
    except KeyboardInterrupt as error:
        typer.echo("Stopped.", err=True)
        raise typer.Exit(INTERRUPTED) from error


def fail(sentence: str, error: Exception, code: int = 1) -> NoReturn:
    """Print the sentence and end with `code`."""
    typer.echo(f"error: {sentence}", err=True)
    raise typer.Exit(code) from error


def _show_completion(shell: completion.Shell | None) -> None:
    if shell is not None:
        typer.echo(completion.SCRIPTS[shell], nl=False)
        raise typer.Exit
