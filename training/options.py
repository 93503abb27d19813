"""Options that commands share, and how they are read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperCommand


def augmentations(incomplete: str) -> list[str]:
    """Return the parts of augmentations that begin with `incomplete`."""
    from training.learn.augmentation import PARTS

    return [name for name in PARTS if name.startswith(incomplete)]


def check_augmentation(name: str | None) -> str | None:
    """Return `name`; raise BadParameter where no augmentation is called so."""
    if name is not None:
        from training.learn.augmentation import augmentation

        try:
            augmentation(name)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--augmentation") from None
    return name


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

# Of `fit`.
Hidden = Annotated[
    list[int], typer.Option(min=1, help="Units of each hidden layer: --hidden 512 512.")
]
Dropout = Annotated[
    float | None,
    typer.Option(
        min=0, max=0.95, help="After each hidden layer. Default: 0.2, or none with handwriting."
    ),
]
Pool = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=1024,
        help="The network sees means over so many pixels squared; 1: every pixel. Default: what "
        "generalises best on held-out images.",
    ),
]
Augmentation = Annotated[
    str | None,
    typer.Option(
        autocompletion=augmentations,
        callback=check_augmentation,
        help="none, shifts, small, large, any-angle, mirror, upside-down, flips, handwriting, or "
        "two joined, as flips+small. Default: what generalises best.",
    ),
]
Epochs = Annotated[
    int | None, typer.Option(min=1, help="Default: follows from the number of images.")
]
Seed = Annotated[
    int,
    typer.Option(min=0, max=2**32 - 1, help="Of split, order, weights and augmentation."),
]
Also = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="More images in class folders, which only train: the folder of HALFTONE_FEEDBACK.",
    ),
]
Quick = Annotated[bool, typer.Option("--quick", help="A much shorter schedule.")]
WithoutImages = Annotated[
    bool, typer.Option("--without-images", help="Keep your images out of the bundle.")
]
Promotes = Annotated[
    Literal["if-not-worse", "always", "never"],
    typer.Option(
        help="Whether the new version serves: not if it is significantly worse than the one that "
        "does, or than logistic regression, on the same test images."
    ),
]
PublishInterrupted = Annotated[
    bool, typer.Option("--publish-interrupted", help="On Ctrl-C, publish the best weights.")
]
PublishKept = Annotated[
    bool, typer.Option("--publish-kept", help="Publish what an interrupted run kept; no training.")
]

# Of `predict`.
Unlabelled = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="A folder of images, an image, or an .npz with x_test; with --cluster a folder, or a "
        "bucket as s3://bucket/prefix.",
    ),
]
Target = Annotated[
    str,
    typer.Option(
        "-o",
        "--output",
        metavar="TARGET",
        help="The CSV file to write; -: standard output; with --cluster a folder or a bucket for "
        "files of Parquet.",
    ),
]
Layout = Annotated[
    Literal["csv", "kaggle"], typer.Option("--format", help="kaggle: ImageId,Label, of images.")
]


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
