"""The service as LitServe's documentation would have it written: batches for a Keras model.

Started by the benchmark in LitServe's own environment, with the model's path, image size and port
in the environment. It stands here to be compared with; nothing else uses it.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import litserve
import numpy as np
from fastapi import Request
from numpy.typing import NDArray
from PIL import Image


class Classifier(litserve.LitAPI):  # type: ignore[misc]  # Any: not in this environment
    """Images in a form's field `file`, answered in batches."""

    def setup(self, device: str) -> None:  # noqa: ARG002  # LitServe gives it
        """Load the model, in a worker process."""
        self.model = keras.models.load_model(os.environ["PEER_MODEL"], compile=False)
        self.size = (int(os.environ["PEER_WIDTH"]), int(os.environ["PEER_HEIGHT"]))

    def decode_request(self, request: Request) -> NDArray[np.uint8]:
        """Return the pixels of one image, (H, W); a request is given as its form."""
        image = Image.open(request["file"].file).convert("L").resize(self.size)
        return np.array(image)

    def predict(self, x: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the probabilities of a batch, (N, K)."""
        probabilities: NDArray[np.float32] = self.model.predict_on_batch(x)
        return probabilities

    def encode_response(self, output: NDArray[np.float32]) -> dict[str, object]:
        """Return what one client gets."""
        return {"label": int(np.argmax(output)), "probabilities": output.tolist()}


if __name__ == "__main__":
    api = Classifier(max_batch_size=32, batch_timeout=0.005)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=os.cpu_count())
    server.run(port=int(os.environ["PEER_PORT"]), generate_client_file=False, log_level="warning")
