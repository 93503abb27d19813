"""Which ImageSpec a data set gets: whether its images have the form of MNIST is told by looking."""

from contextlib import suppress

import numpy as np

from model_store.errors import ImageError
from model_store.pixels.ink import is_ink_form
from model_store.pixels.preprocessing import preprocess
from model_store.sources import Source
from model_store.spec import ImageSpec

_INK_SAMPLE = 500
_INK_LARGEST_SIDE = 64


def spec_for(source: Source, plain: ImageSpec, seed: int) -> ImageSpec:
    """Return `plain`; images already in the form that MNIST has get the normalisation for it.

    Args:
        source: the images.
        plain: what the user asked for.
        seed: of the sample that is looked at.
    """
    if max(plain.height, plain.width) > _INK_LARGEST_SIDE:
        return plain
    random = np.random.default_rng(seed)
    # What was added decides nothing: photographs of digits are no reason to read MNIST otherwise.
    own = [index for index, item in enumerate(source.items) if not item.only_trains]
    sample = []
    for index in random.permutation(own)[:_INK_SAMPLE]:
        with suppress(ImageError, OSError):
            sample.append(preprocess(source.encoded(int(index)), plain))
    return plain.model_copy(update={"ink": is_ink_form(np.stack(sample)) if sample else None})
