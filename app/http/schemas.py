"""What the OpenAPI document says of answers. Predictions themselves are written by `rendering`."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from model_store.manifest import (
    Baseline,
    Calibration,
    Comparison,
    DatasetRecord,
    Metrics,
    Parity,
    TrainingSettings,
)
from model_store.spec import ImageSpec

_CASTING: dict[str, JsonValue] = {
    "request_id": "5f2b9c0d1e3a4b6c",
    "model": {"name": "casting", "version": 3},
}
_RANKING: dict[str, JsonValue] = {
    "label": "ok_front",
    "probability": 0.9871,
    "unusual": False,
    "predictions": [
        {"label": "ok_front", "probability": 0.9871},
        {"label": "def_front", "probability": 0.0129},
    ],
}

Probability = Annotated[float, Field(ge=0, le=1)]


class ModelReference(BaseModel):
    """The version that computed an answer."""

    name: str = Field(examples=["casting"])
    version: int = Field(examples=[3])


class Prediction(BaseModel):
    """One class and its probability."""

    label: str = Field(examples=["ok_front"])
    probability: Probability = Field(examples=[0.9871])


class Ranking(Prediction):
    """The most probable class, and all (or `top_k`) classes, most probable first."""

    unusual: bool | None = Field(
        description="Whether the image is far from every training image, so that the answer means "
        "little. Null: the model's bundle cannot tell."
    )
    predictions: list[Prediction]


class PredictAnswer(Ranking):
    """The answer to one image."""

    model_config = ConfigDict(json_schema_extra={"examples": [_CASTING | _RANKING]})

    request_id: str
    model: ModelReference


class Problem(BaseModel):
    """RFC 9457 problem document; `code` is stable."""

    type: str = Field(examples=["urn:halftone:problem:unsupported_format"])
    title: str
    status: int = Field(ge=400, le=599)
    detail: str = Field(description="What was expected, and what was received.")
    code: str = Field(examples=["unsupported_format"])
    request_id: str
    setting: str | None = Field(None, description="The variable an operator could change.")


class BatchResult(Ranking):
    """One image of a batch that was predicted."""

    index: int = Field(ge=0, description="The image's place in the request.")


class BatchError(BaseModel):
    """One image of a batch that was not."""

    index: int = Field(ge=0, description="The image's place in the request.")
    error: Problem


class BatchAnswer(BaseModel):
    """One entry per image, in the order of the request."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [_CASTING | {"results": [{"index": 0} | _RANKING]}]}
    )

    request_id: str
    model: ModelReference
    results: list[BatchResult | BatchError]


class FeedbackAnswer(BaseModel):
    """An image that was kept under its label."""

    request_id: str
    model: ModelReference
    label: str
    file: str = Field(
        description="Below HALFTONE_FEEDBACK.", examples=["casting/ok_front/3f2a9c.png"]
    )


class EngineInfo(BaseModel):
    """The engine that runs a model, and how far it is from the float32 Keras model."""

    name: str = Field(examples=["openvino-int8"])
    parity: Parity | None
    max_batch: int


class LoadFailure(BaseModel):
    """Why the store's current version is not the one that serves."""

    version: int
    reason: str


class ModelInfo(BaseModel):
    """One served model."""

    name: str
    version: int | None = Field(description="Null when no version could be loaded.")
    is_default: bool = Field(description="Whether /predict means this version.")
    versions: list[int] = Field(
        description="Every version that can be asked for; others than `version` by "
        "/models/{name}/versions/{version}, opened on demand."
    )
    labels: list[str] = Field(description="In output order.")
    image: ImageSpec | None
    metrics: Metrics | None
    engine: EngineInfo | None
    examples: int = Field(
        description="Images to try at /models/{name}/versions/{version}/examples/1 and so on."
    )
    has_report: bool = Field(description="Whether /models/{name}/report shows its training.")
    warnings: list[str]
    failure: LoadFailure | None


class ModelDetail(ModelInfo):
    """One served model, with where it comes from."""

    created_at: datetime | None
    training: TrainingSettings | None
    calibration: Calibration | None
    baselines: list[Baseline]
    comparison: Comparison | None
    dataset: DatasetRecord | None
    libraries: dict[str, str]


class ModelList(BaseModel):
    """Every model, by name."""

    default: str | None = Field(description="The model that /predict means.")
    asks_for_keys: bool = Field(description="Whether requests must carry an API key.")
    keeps_feedback: bool = Field(description="Whether POST /feedback keeps images.")
    models: list[ModelInfo]


class Status(BaseModel):
    """One word, and a sentence where the word is not good."""

    status: Literal["ok", "ready", "loading", "not ready", "draining", "stuck"]
    reason: str | None = Field(None, description="What is wrong, and a remedy.")


class HealthOfModel(BaseModel):
    """One model, in short."""

    name: str
    version: int | None
    engine: str | None
    waiting: int = Field(description="Images in its queue.")
    warnings: list[str]
    failure: str | None = Field(description="Why the store's current version does not serve.")


class Health(Status):
    """For people: what is served, and what is wrong."""

    default: str | None = Field(description="The model that /predict means.")
    models: list[HealthOfModel]
    store: str | None = Field(
        description="Why the store cannot be read now, if so; what serves goes on serving."
    )
    version: str = Field(description="Of the service.")
