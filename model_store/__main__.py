"""python -m model_store list | show | verify | promote | rollback | diff | expand | import."""

import csv
import json
import sys
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from model_store.calling import calling
from model_store.command_line import Depth16Max, command_line, one_sentence_errors, run
from model_store.command_line import ModelName as Name
from model_store.descriptions import describe, list_models, listing
from model_store.making.importing import ImportRequest, Pixels, import_model
from model_store.sources import label_of, open_labelled, open_unlabelled
from model_store.spec import MAX_16, ImageSpec
from model_store.store.current import CurrentVersion
from model_store.store.store import ModelStore, default_root
from model_store.verification import verify as verify_bundle

_CALL = calling("model_store")

app = command_line(
    "Look after the models in the store: HALFTONE_MODELS (or ./models), a folder or a bucket.",
    f"{_CALL} list",
    f"{_CALL} verify digits",
    f"{_CALL} rollback digits",
)

Version = Annotated[
    int | None, typer.Option(min=1, help="Which version; the current one if not given.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list", epilog=f"Example: `{_CALL} list --json`")
def list_(as_json: AsJson = False) -> None:
    """List the models and which of their versions is current."""
    with one_sentence_errors():
        store = ModelStore(default_root())
        rows = list_models(store)
        if as_json:
            _print_json(rows)
        elif rows:
            typer.echo("\n".join(listing(rows)))
        else:
            typer.echo(f"No models in {store.root}.")


@app.command(epilog=f"Example: `{_CALL} show digits`")
def show(name: Name, version: Version = None, as_json: AsJson = False) -> None:
    """Say what a model is: labels, images, layers, metrics, engines."""
    with one_sentence_errors():
        bundle = ModelStore(default_root()).bundle(name, version)
        if as_json:
            typer.echo(bundle.manifest.model_dump_json(indent=2))
        else:
            typer.echo("\n".join(describe(bundle)))


@app.command(epilog=f"Example: `{_CALL} verify digits --version 1`")
def verify(name: Name, version: Version = None, as_json: AsJson = False) -> None:
    """Hash every file of a model and replay its probes on every engine that runs here."""
    with one_sentence_errors():
        bundle = ModelStore(default_root()).bundle(name, version, afresh=True)
        verified = verify_bundle(bundle)
        manifest = bundle.manifest
        if as_json:
            _print_json(
                {
                    "name": manifest.name,
                    "version": manifest.version,
                    "files": len(manifest.files),
                    "probes": len(manifest.probes),
                    "engines": verified.engines,
                    "unavailable": verified.unavailable,
                }
            )
            return
        typer.echo(
            f"{manifest.name} {manifest.version} is sound: {len(manifest.files)} files, "
            f"{len(manifest.probes)} probes on {', '.join(verified.engines)}."
        )
        for engine, reason in verified.unavailable.items():
            typer.echo(f"{engine} was not checked: {reason}")


def _what_is_current(name: str, current: CurrentVersion) -> str:
    before = "" if current.previous is None else f"; {current.previous} was before"
    return f"{name} {current.version} is current{before}."


@app.command(epilog=f"Example: `{_CALL} promote digits 2`")
def promote(
    name: Name, version: Annotated[int, typer.Argument(min=1, help="One of its versions.")]
) -> None:
    """Verify a version and make it the current one."""
    with one_sentence_errors():
        current = ModelStore(default_root()).promote(name, version)
        typer.echo(_what_is_current(name, current))


@app.command(epilog=f"Example: `{_CALL} rollback digits`")
def rollback(name: Name) -> None:
    """Verify the version that was current before, and swap the two."""
    with one_sentence_errors():
        current = ModelStore(default_root()).rollback(name)
        typer.echo(_what_is_current(name, current))


@app.command(epilog=f"Example: `{_CALL} diff parts 1 2 new-images --json`")
def diff(
    name: Name,
    old: Annotated[int, typer.Argument(min=1, metavar="OLD", help="A version.")],
    new: Annotated[int, typer.Argument(min=1, metavar="NEW", help="Another version.")],
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Class folders, or test/ with class folders.")
    ],
    as_json: AsJson = False,
) -> None:
    """Say which images two versions answer differently, and whether one is significantly better."""
    from model_store.bundle import open_model
    from model_store.comparing import diff as compare_versions
    from model_store.descriptions import describe_diff

    with one_sentence_errors():
        store = ModelStore(default_root())
        source = open_labelled(directory)
        for note in source.notes:
            typer.echo(f"warning: {note}", err=True)
        with ExitStack() as opened:
            models = [open_model(store.bundle(name, version)) for version in (old, new)]
            for model in models:
                opened.callback(model.close)
            found = compare_versions(models[0], models[1], source)
        if as_json:
            _print_json({**asdict(found), "comparison": found.comparison.model_dump(mode="json")})
        else:
            typer.echo("\n".join(describe_diff(found, new)))


@app.command(epilog=f"Example: `{_CALL} expand parts -o full.keras`")
def expand(
    name: Name,
    output: Annotated[
        Path, typer.Option("-o", "--output", dir_okay=False, help="The .keras file to write.")
    ],
    version: Version = None,
) -> None:
    """Write the network without block means: every pixel into the first Dense, the same answers."""
    with one_sentence_errors():
        from model_store.making.expanding import expand as write_expanded

        model = write_expanded(ModelStore(default_root()).bundle(name, version), output)
        typer.echo(f"Wrote {output}: {model.count_params():,} parameters.")


@app.command(
    "import",
    epilog=(
        f"Example: `{_CALL} import model.keras --name parts --labels bad,good "
        "--height 960 --width 480 --images images`"
    ),
)
def import_(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", exists=True, help="A .keras file."),
    ],
    name: Annotated[str, typer.Option(help="The model's name in the store.")],
    labels: Annotated[
        str,
        typer.Option(
            help="In output order, separated by commas (quote a label that holds one); or a text "
            "file with one per line."
        ),
    ],
    height: Annotated[int, typer.Option(min=1, max=8192, help="Rows of its images.")],
    width: Annotated[int, typer.Option(min=1, max=8192, help="Columns of its images.")],
    depth16_max: Depth16Max = MAX_16,
    pixels: Annotated[
        Pixels,
        typer.Option(help="The range it was trained on; auto: as its first layers say, else 0-1."),
    ] = "auto",
    images: Annotated[
        Path | None,
        typer.Option(
            help="A folder of example images: engines are measured on up to 256 of them, and up "
            "to 8 become probes, which are stored in the bundle.",
        ),
    ] = None,
) -> None:
    """Publish a Keras model that was trained elsewhere.

    Its input may be (H*W,), (H, W) or (H, W, 1); its output a softmax or logits, one per label,
    or for two labels one sigmoid or logit. Files that could run code are refused.
    """
    with one_sentence_errors():
        request = ImportRequest(
            file=file,
            labels=_parse_labels(labels),
            spec=ImageSpec.for_size(height, width, depth16_max=depth16_max),
            pixels=pixels,
            images=open_unlabelled(images) if images else None,
        )
        store = ModelStore(default_root())
        imported = import_model(store, name, request)
        for note in imported.notes:
            typer.echo(note)
        manifest = imported.bundle.manifest
        where = store.where(imported.bundle)
        typer.echo(f"Published {manifest.name} {manifest.version} in {where}.")


def _parse_labels(text: str) -> tuple[str, ...]:
    if text.endswith(".txt") or ("," not in text and Path(text).is_file()):
        try:
            lines = Path(text).read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise typer.BadParameter(
                f"cannot read {text}: {error}", param_hint="--labels"
            ) from None
    else:
        lines = next(csv.reader([text], skipinitialspace=True), [])
    given = [line.strip() for line in lines if line.strip()]
    labels = tuple(map(label_of, given))
    # Bytes that are no UTF-8 come as surrogates, and are written out.
    printable = all(c.isprintable() or "\udc80" <= c <= "\udcff" for c in "".join(given))
    repeated = sorted({label for label in labels if labels.count(label) > 1})
    if len(labels) < 2 or repeated or not printable:
        raise typer.BadParameter(
            "expected at least two different printable labels. "
            f"Received: {', '.join(map(repr, labels)) or 'none'}",
            param_hint="--labels",
        )
    return labels


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2))


if __name__ == "__main__":
    run(app, "python -m model_store", sys.argv[1:])
