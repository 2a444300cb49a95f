"""What `flambeau serve` is compared with: a FastAPI handler as one writes it by hand, and LitServe."""

from __future__ import annotations

import argparse
import base64
import io
from pathlib import Path
from typing import Any

import litserve
import numpy as np
import torch
import uvicorn
from fastapi import FastAPI, Request
from PIL import Image

from flambeau.data.tables.rows import rows_as_columns
from flambeau.deploy.answer import describe_prediction, predict_inputs
from flambeau.deploy.bundle import Bundle, load_bundle


def decode(body: bytes, side: int) -> torch.Tensor:
    """A JPEG as (3, side, side) floats from 0 to 1, as most tutorials do it."""
    picture = Image.open(io.BytesIO(body)).convert("RGB").resize((side, side))
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255


def answer_pictures(bundle: Bundle, pictures: torch.Tensor) -> list[dict[str, Any]]:
    """Eager torch: (batch, 3, height, width) from 0 to 1 → one answer a picture."""
    preparation: Any = bundle.preparation
    with torch.inference_mode():
        probabilities = bundle.module(preparation.normalise(pictures)).softmax(1)
    return [describe_prediction(bundle, row) for row in probabilities.numpy()]


def answer_rows(bundle: Bundle, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The bundle's own calls, for one row or several."""
    preparation: Any = bundle.preparation
    numbers, categories = preparation.transform(rows_as_columns(rows, bundle.schema))
    predictions = predict_inputs(bundle, (torch.from_numpy(numbers), torch.from_numpy(categories)))
    return [describe_prediction(bundle, prediction) for prediction in predictions]


def run_fastapi(bundle: Bundle, port: int) -> None:
    """A plain `async def` handler."""
    app = FastAPI()

    if bundle.schema.source == "pictures":
        side = bundle.preparation.size[0]  # type: ignore[union-attr]  # pictures

        async def predict(request: Request) -> dict[str, Any]:
            picture = decode(await request.body(), side)
            return answer_pictures(bundle, picture[None])[0]
    else:

        async def predict(request: Request) -> dict[str, Any]:
            return answer_rows(bundle, [await request.json()])[0]

    app.post("/predict")(predict)
    uvicorn.run(app, port=port, log_level="warning", access_log=False, loop="uvloop", http="httptools")


class LitModel(litserve.LitAPI):  # type: ignore[misc]  # untyped
    """The same model for LitServe; it is pickled for the worker, so it stands at the top of the file."""

    folder = Path()

    def setup(self, device: str) -> None:
        torch.set_num_threads(1)
        self.bundle = load_bundle(self.folder)
        self.pictures = self.bundle.schema.source == "pictures"

    def decode_request(self, request):  # type: ignore[no-untyped-def]  # LitServe would read an annotation
        if not self.pictures:
            return request
        preparation: Any = self.bundle.preparation
        return decode(base64.b64decode(request["image"]), preparation.size[0])

    def batch(self, inputs: list[Any]) -> Any:
        return torch.stack(inputs) if self.pictures else inputs

    def predict(self, inputs: Any) -> Any:
        alone = self.max_batch_size == 1
        if alone:
            inputs = inputs[None] if self.pictures else [inputs]
        answers = (answer_pictures if self.pictures else answer_rows)(self.bundle, inputs)
        return answers[0] if alone else answers

    def unbatch(self, output: Any) -> Any:
        return output

    def encode_response(self, output: Any) -> Any:
        return output


def run_litserve(folder: Path, port: int, batch: int) -> None:
    """LitServe with one worker; a batch of 1 means no batching."""
    api = LitModel(max_batch_size=batch, batch_timeout=0.003 if batch > 1 else 0.0)
    api.folder = folder
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, track_requests=False)
    server.run(port=port, host="127.0.0.1", log_level="warning", generate_client_file=False, access_log=False)


def main() -> None:
    """Serve one bundle until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("arm", choices=("fastapi", "litserve", "litserve-batching"))
    parser.add_argument("bundle", type=Path)
    parser.add_argument("port", type=int)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.arm == "fastapi":
        run_fastapi(load_bundle(given.bundle), given.port)
    else:
        run_litserve(given.bundle, given.port, 16 if given.arm == "litserve-batching" else 1)


if __name__ == "__main__":
    main()
