"""What the OpenAPI document says of answers. Predictions themselves are written by `predict`."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from app.readiness import Status
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


class ModelReference(BaseModel):
    """The version that computed an answer."""

    name: str = Field(examples=["casting"])
    version: int = Field(examples=[3])


class Prediction(BaseModel):
    """One class and its probability."""

    label: str = Field(examples=["ok_front"])
    probability: float = Field(ge=0, le=1, examples=[0.9871])


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
    """One served model; without what a version says, where none could be loaded."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)

    name: str
    version: int | None = Field(None, description="Null when no version could be loaded.")
    is_default: bool = Field(description="Whether /predict means this version.")
    versions: list[int] = Field(
        description="Every version that can be asked for; others than `version` by "
        "/models/{name}/versions/{version}, opened on demand."
    )
    labels: list[str] = Field([], description="In output order.")
    image: ImageSpec | None = None
    metrics: Metrics | None = None
    engine: EngineInfo | None = None
    examples: int = Field(
        0, description="Images to try at /models/{name}/versions/{version}/examples/1 and so on."
    )
    has_report: bool = Field(False, description="Whether /models/{name}/report shows its training.")
    warnings: list[str] = []
    failure: LoadFailure | None


class ModelDetail(ModelInfo):
    """One served model, with where it comes from."""

    created_at: datetime | None = None
    training: TrainingSettings | None = None
    calibration: Calibration | None = None
    baselines: list[Baseline] = []
    comparison: Comparison | None = None
    dataset: DatasetRecord | None = None
    libraries: dict[str, str] = {}


class ModelList(BaseModel):
    """Every model, by name."""

    default: str | None = Field(description="The model that /predict means.")
    asks_for_keys: bool = Field(description="Whether requests must carry an API key.")
    keeps_feedback: bool = Field(description="Whether POST /feedback keeps images.")
    models: list[ModelInfo]


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
