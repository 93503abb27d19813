"""The service that most people would write: FastAPI around `model.predict`.

Started by the benchmark as `uvicorn benchmarks.baseline:app`, with the model's path and image size
in the environment. It stands here to be compared with; nothing else uses it.
"""

import io
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from fastapi import FastAPI, UploadFile
from PIL import Image

app = FastAPI()
model = keras.models.load_model(os.environ["PEER_MODEL"], compile=False)
height, width = int(os.environ["PEER_HEIGHT"]), int(os.environ["PEER_WIDTH"])


@app.get("/readyz")
async def ready() -> dict[str, str]:
    """Answer when the model is loaded, which happens at import."""
    return {"status": "ready"}


@app.post("/predict")
async def predict(file: UploadFile) -> dict[str, object]:
    """Predict one image."""
    image = Image.open(io.BytesIO(await file.read())).convert("L").resize((width, height))
    probabilities = model.predict(np.array(image)[np.newaxis], verbose=0)[0]
    return {
        "label": int(np.argmax(probabilities)),
        "probabilities": [float(value) for value in probabilities],
    }
