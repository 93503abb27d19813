"""Which pixels an imported network was trained on: 0 to 1, or 0 to 255."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from model_store.engines.keras import runtime

PixelRange = Literal["0-1", "0-255"]

_LARGEST_SHRINKING = 0.1  # 1/255 and 1/127.5 make raw pixels small; 2 spreads what is small
_LARGEST_MOMENT = 2.0  # neither the mean nor the variance of pixels up to 1 is larger
_SAME_ANSWERS = 1.0  # standard deviation over images of log p
_CERTAINTY = 40.0  # log of how much more probable the first label is than the second
_LEAST = 1e-38  # float32 knows no smaller probability


def range_of_layers(layers: list[Any]) -> tuple[PixelRange, str] | None:
    """Return what the first layers say of the range, and which says it; None: they do not.

    Args:
        layers: in the order data takes, none of them a model.
    """
    keras = runtime()[0]
    kinds = (keras.layers.Rescaling, keras.layers.Normalization, keras.layers.BatchNormalization)
    for layer in layers:
        if isinstance(layer, kinds):
            found = _said_by(layer)
            if found:
                return found, f"{type(layer).__name__} {layer.name!r}"
        elif layer.trainable_weights:
            return None
    return None


def _said_by(layer: Any) -> PixelRange | None:
    if hasattr(layer, "offset"):  # Rescaling
        scale = float(np.max(np.abs(layer.scale)))
        if float(np.max(np.abs(layer.offset))) > _LARGEST_MOMENT * scale:
            return "0-255"  # what it moves to 0 is no pixel up to 1
        if scale == 1:  # only turns bytes into floats
            return None
        return "0-255" if scale <= _LARGEST_SHRINKING else "0-1"
    if hasattr(layer, "moving_mean"):
        moments = layer.moving_mean, layer.moving_variance
    else:
        moments = layer.mean, layer.variance
    mean, variance = (np.asarray(moment) for moment in moments)
    if not mean.any() and (variance == 1).all():  # was never fitted
        return None
    return "0-255" if max(mean.max(), variance.max()) > _LARGEST_MOMENT else "0-1"


def doubt(
    chosen: PixelRange, probabilities: NDArray[np.float32], others: NDArray[np.float32]
) -> list[str]:
    """Return a warning, in a list, if the network answers as if it was trained on the other range.

    Given pixels 255 times too large, a network is certain of every image; 255 times too small, it
    says the same of all.

    Args:
        chosen: the range that it gets.
        probabilities: (N, labels) for some images.
        others: the same at the other range.
    """
    oddity = _oddity(probabilities)
    if oddity is None or _oddity(others) is not None:
        return []
    other = "0-255" if chosen == "0-1" else "0-1"
    return [
        f"Warning: with pixels of {chosen} {oddity}, and with {other} not. If it was trained on "
        f"{other}, import it again with --pixels {other}."
    ]


def _oddity(probabilities: NDArray[np.float32]) -> str | None:
    logs = np.log(np.maximum(probabilities, _LEAST))
    second, first = np.sort(logs, axis=1)[:, -2:].T  # (N,) each
    if np.median(first - second) > _CERTAINTY:
        return "it is certain of nearly every image"
    if logs.std(axis=0).max() < _SAME_ANSWERS:
        return "it answers nearly the same for every image"
    return None
