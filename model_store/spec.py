"""What a model's images look like: data that is stored with the model and read back strictly."""

import hashlib
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

ImageFormat = Literal["JPEG", "PNG", "WEBP", "BMP", "GIF", "HEIC", "AVIF", "TIFF"]
ALL_FORMATS: tuple[ImageFormat, ...] = get_args(ImageFormat)


MAX_16 = 65535  # the largest 16-bit sample


class InkNormalization(BaseModel):
    """How a drawn or photographed character is brought into the form MNIST has.

    Bright ink on black, cropped to the ink, scaled to fit a square box, and centred by mass
    (LeCun et al. 1998, section III.A).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    box: int = Field(ge=1, description="Longest side of the ink after scaling, in pixels.")


class ImageSpec(BaseModel):
    """Everything that decides which pixels a model sees.

    A stored spec that leaves a field out is refused, so that training and serving can never
    disagree in silence. Only a field that came later has a default, which is what was done before,
    and is left out where it has it: older specs keep their digest. `ImageSpec.for_size` fills in
    the project's choices.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    height: int = Field(ge=1, le=8192, description="Rows, in pixels.")
    width: int = Field(ge=1, le=8192, description="Columns, in pixels.")
    color: Literal["grayscale"] = Field(description="ITU-R 601 luma, one byte per pixel.")
    resampling: Literal["bilinear", "bicubic", "lanczos", "box"] = Field(
        description="Antialiased filter; the aspect ratio is not kept, as in Keras's load_img."
    )
    jpeg_draft: bool = Field(
        description="Decode large JPEGs at 1/2, 1/4 or 1/8 scale, never below 1.5 times the target."
    )
    orientation: Literal["exif", "ignore"] = Field(description="Whether EXIF rotation is applied.")
    alpha_background: int = Field(
        ge=0, le=255, description="Grey level that shows through transparent pixels."
    )
    depth16: Literal["scale"] = Field(
        description="16-bit samples are scaled to 0-255, not clipped at 255."
    )
    depth16_max: int = Field(
        MAX_16,
        ge=1,
        le=MAX_16,
        exclude_if=lambda value: value == MAX_16,
        description="The 16-bit sample of grayscale images that is white, as are those above it.",
    )
    formats: tuple[ImageFormat, ...] = Field(min_length=1, strict=False)
    ink: InkNormalization | None = Field(description="Null: pixels are only resized.")

    @classmethod
    def for_size(
        cls,
        height: int,
        width: int,
        ink: InkNormalization | None = None,
        depth16_max: int = MAX_16,
    ) -> "ImageSpec":
        """Return the project's choices for images of `height` by `width` pixels."""
        return cls(
            height=height,
            width=width,
            color="grayscale",
            resampling="bilinear",
            jpeg_draft=True,
            orientation="exif",
            alpha_background=255,
            depth16="scale",
            depth16_max=depth16_max,
            formats=ALL_FORMATS,
            ink=ink,
        )

    @property
    def digest(self) -> str:
        """SHA-256 over the canonical JSON of every field, as 64 hex digits."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()
