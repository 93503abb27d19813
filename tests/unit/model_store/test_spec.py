"""Specs that were stored before a field came in keep their meaning and their digest."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from model_store.manifest_file import read_manifest
from model_store.spec import ImageSpec, InkNormalization

ROOT = Path(__file__).resolve().parents[3]
BEFORE = (
    '{"height":12,"width":7,"color":"grayscale","resampling":"bilinear","jpeg_draft":true,'
    '"orientation":"exif","alpha_background":255,"depth16":"scale",'
    '"formats":["JPEG","PNG","WEBP","BMP","GIF"],"ink":null}'
)
FORMATS_BEFORE = ("JPEG", "PNG", "WEBP", "BMP", "GIF")


def before(spec: ImageSpec) -> ImageSpec:
    """The spec that the same call of `for_size` gave when fewer formats were decoded."""
    return spec.model_copy(update={"formats": FORMATS_BEFORE})


def test_a_spec_without_the_white_of_16_bits_reads_as_before():
    spec = ImageSpec.model_validate_json(BEFORE)

    assert spec == before(ImageSpec.for_size(12, 7))
    assert spec.depth16_max == 65535
    assert spec.model_dump_json() == BEFORE
    assert spec.digest == "1609c736f346a91ae194f04b0633aff92634fa2c7dd1c350ed1bbdda0b5413e7"


def test_the_shipped_bundle_has_the_spec_that_it_had():
    (folder,) = (ROOT / "models" / "digits").glob("[0-9]*")
    spec = read_manifest(folder).image

    assert spec == before(ImageSpec.for_size(28, 28, InkNormalization(box=20)))
    assert spec.digest == "c2a852926169cc6955e95605b1c72faa99d466f4d22f43625daba32b3cba77f0"


def test_another_white_is_stored_and_is_another_spec():
    spec = ImageSpec.for_size(12, 7, depth16_max=4095)

    assert json.loads(spec.model_dump_json())["depth16_max"] == 4095
    assert ImageSpec.model_validate_json(spec.model_dump_json()) == spec
    assert spec.digest != ImageSpec.for_size(12, 7).digest


@pytest.mark.parametrize("white", [0, 65536, 4095.5])
def test_an_impossible_white_is_refused(white):
    document = json.loads(BEFORE) | {"depth16_max": white}
    with pytest.raises(ValidationError, match="depth16_max"):
        ImageSpec.model_validate_json(json.dumps(document))


def test_no_other_field_may_be_left_out():
    for name in json.loads(BEFORE):
        document = json.loads(BEFORE)
        del document[name]
        with pytest.raises(ValidationError, match=name):
            ImageSpec.model_validate_json(json.dumps(document))
