"""Options that commands share, and how they are read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

Directory = Annotated[
    Path,
    typer.Argument(
        metavar="DIR",
        help="Class folders; or train/ and test/ (and val/) with class folders; or an .npz.",
    ),
]
Height = Annotated[int, typer.Option(min=1, max=8192, help="Rows of the model's images.")]
Width = Annotated[int, typer.Option(min=1, max=8192, help="Columns of the model's images.")]
Cluster = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS|local",
        help="Work on the nodes of a Ray cluster, of which this machine is one: HOST:PORT of its "
        "head; local: a cluster of this machine alone, for the time.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def augmentations(incomplete: str) -> list[str]:
    """Return the parts of augmentations that begin with `incomplete`."""
    from training.learn.augmentation import PARTS

    return [name for name in PARTS if name.startswith(incomplete)]


def check_augmentation(name: str | None) -> None:
    """Raise BadParameter where no augmentation is called so."""
    if name is not None:
        from training.learn.augmentation import augmentation

        try:
            augmentation(name)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--augmentation") from None


def check_pool(pool: int | None, height: int, width: int) -> None:
    """Raise BadParameter where no block of `pool` x `pool` pixels fits into an image."""
    if pool is not None and pool > min(height, width):
        raise typer.BadParameter(
            f"Expected at most {min(height, width)}, the shorter side of the images. "
            f"Received: {pool}",
            param_hint="--pool",
        )


def check_prediction(source: str, target: str, layout: str, cluster: str | None) -> None:
    """Raise BadParameter where `predict` cannot read or write so, on a cluster or without."""
    if cluster is None:
        for path in (source, target):
            if "://" in path:
                raise typer.BadParameter(f"{path} is read and written with --cluster only")
        if Path(target).is_dir():
            raise typer.BadParameter(f"{target} is a directory", param_hint="-o")
    elif layout != "csv":
        raise typer.BadParameter("kaggle is one file; leave out --cluster", param_hint="--format")
    elif target == "-":
        raise typer.BadParameter("with --cluster it is a folder or a bucket", param_hint="-o")


class SpreadHidden(TyperCommand):
    """Reads `--hidden 512 512` as `--hidden 512 --hidden 512`, which is what click knows."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Spread them, then do as usual."""
        return super().parse_args(ctx, _spread_hidden(args))


def _spread_hidden(arguments: Sequence[str]) -> list[str]:
    """Return `--hidden 512 512` as `--hidden 512 --hidden 512`, which is what click reads."""
    spread: list[str] = []
    within = False
    for argument in arguments:
        if within and argument.isdigit() and spread[-1] != "--hidden":
            spread.append("--hidden")
        within = argument == "--hidden" or (within and argument.isdigit())
        spread.append(argument)
    return spread
