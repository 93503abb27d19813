"""Ask a service through the kserve package, and print what it answers as JSON.

    python kserve_client.py URL FOLDER

It imports nothing of this project, as it runs where only kserve is installed. FOLDER holds images
as PNG, and the same preprocessed in `pixels.npy`.
"""

import asyncio
import base64
import json
import sys
from itertools import product
from pathlib import Path

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig


def tensor(name: str, datatype: str, values: np.ndarray, binary: bool = True) -> InferInput:
    made = InferInput(name, list(values.shape), datatype)
    made.set_data_from_numpy(values, binary_data=binary)
    return made


def tensors(folder: Path) -> dict[str, InferInput]:
    images = [path.read_bytes() for path in sorted(folder.glob("*.png"))]
    text = [base64.b64encode(image).decode() for image in images]
    pixels = np.load(folder / "pixels.npy")
    return {
        "binary image": tensor("image", "BYTES", np.array(images, object)),
        "JSON image": InferInput("image", [len(text)], "BYTES", data=text),
        "binary pixels": tensor("pixels", "UINT8", pixels),
        "JSON pixels": tensor("pixels", "UINT8", pixels, binary=False),
    }


async def ask(url: str, folder: Path) -> dict[str, object]:
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:

        async def infer(given: InferInput, binary: bool) -> dict[str, list]:
            request = InferRequest("tiny", [given], parameters={"binary_data_output": binary})
            response = await client.infer(url, request, model_name="tiny")
            return {output.name: output.as_numpy().tolist() for output in response.outputs}

        async def refusal() -> str:
            try:
                await infer(tensor("image", "BYTES", np.array([b"no image"], object)), False)
            except httpx.HTTPStatusError as error:
                return str(error)
            return "none"

        return {
            "health": {
                "live": await client.is_server_live(url),
                "ready": await client.is_server_ready(url),
                "tiny": await client.is_model_ready(url, "tiny"),
                "none": await client.is_model_ready(url, "none"),
            },
            "inferred": {
                f"{name}, {'binary' if binary else 'JSON'} outputs": await infer(given, binary)
                for (name, given), binary in product(tensors(folder).items(), (True, False))
            },
            "refusal": await refusal(),
        }


if __name__ == "__main__":
    json.dump(asyncio.run(ask(sys.argv[1], Path(sys.argv[2]))), sys.stdout)
