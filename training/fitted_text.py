"""What `fit` prints when it has published."""

from collections.abc import Iterator

from model_store.calling import calling
from model_store.making.probes import MAX_GIVEN
from model_store.manifest import REPORT_FILE
from training.fit import Fitted


def describe_fitted(fitted: Fitted, where: str, *, images_in_bundle: bool) -> list[str]:
    """Return the result, `where` it is, what of the data is stored in it, and whether it serves."""
    return [*_result(fitted, where), *_stored(images_in_bundle), *_whether_it_serves(fitted)]


def other_labels(fitted: Fitted, before: tuple[str, ...] | None) -> str | None:
    """Return a warning if it serves with other labels than those of the version `before`."""
    manifest = fitted.bundle.manifest
    if not fitted.promoted or before in (None, manifest.labels):
        return None
    return (
        f"the version before has other labels ({', '.join(before)}), and clients of "
        f"{manifest.name} get these now; `{calling('model_store')} rollback {manifest.name}` "
        "brings it back."
    )


def _result(fitted: Fitted, where: str) -> Iterator[str]:
    manifest, folder = fitted.bundle.manifest, fitted.bundle.folder
    if (metrics := manifest.metrics) is not None:
        yield (
            f"test accuracy {metrics.accuracy:.4f}  loss {metrics.loss:.4f}  "
            f"calibration error {metrics.ece:.4f}  ({metrics.images} images, read once)"
        )
    for simple in manifest.baselines:
        yield f"  {simple.name}: {simple.accuracy:.4f}"
    yield f"published {manifest.name} version {manifest.version}: {where}"
    yield f"report: {folder / REPORT_FILE}"


def _stored(images_in_bundle: bool) -> Iterator[str]:
    if images_in_bundle:
        yield (
            f"Up to {MAX_GIVEN} of your images are stored in the bundle as they are, and smaller "
            "ones in its report; --without-images keeps them out."
        )


def _whether_it_serves(fitted: Fitted) -> Iterator[str]:
    name, version = fitted.bundle.manifest.name, fitted.bundle.manifest.version
    if fitted.promoted:
        yield f"It serves: {fitted.reason}."
        yield f"serve it: HALFTONE_MODEL={name} {calling('app')}"
    else:
        yield f"It does not serve: {fitted.reason}."
        yield f"to serve it all the same: {calling('model_store')} promote {name} {version}"
