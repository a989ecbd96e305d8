"""Serve the model of OUT/served by the Open Inference Protocol (KServe V2) on a free port of this machine: serve.py OUT.

Writes OUT/project/heliotrope.yaml with the port it got, prints `ready`, and serves until it is stopped.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import skops.io
from sklearn.linear_model import LogisticRegression

NAME = "digits"
MAX_BODY = 16 * 2**20
METADATA = {
    "name": NAME,
    "versions": ["1"],
    "platform": "sklearn",
    "inputs": [{"name": "images", "datatype": "FP32", "shape": [-1, 1, 8, 8]}],
    "outputs": [{"name": "probabilities", "datatype": "FP64", "shape": [-1, 10]}],
}
TEMPLATE_ADDRESS = "http://127.0.0.1:8080"


def handler(model: LogisticRegression) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else every answer waits 40 ms for the asker to acknowledge its headers

        def do_GET(self) -> None:
            if self.path == f"/v2/models/{NAME}":
                self.answer(200, METADATA)
            else:
                self.answer(404, {"error": "no such model"})

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            if self.path != f"/v2/models/{NAME}/infer" or not 0 < length <= MAX_BODY:
                self.answer(404, {"error": "no such model"})
                return
            try:
                tensor = json.loads(self.rfile.read(length))["inputs"][0]
                rows = np.array(tensor["data"], dtype=np.float32).reshape(tensor["shape"][0], -1)
                scores = model.predict_proba(rows)
            except (KeyError, IndexError, TypeError, ValueError) as error:
                self.answer(400, {"error": str(error)})
                return
            output = {
                "name": "probabilities",
                "datatype": "FP64",
                "shape": list(scores.shape),
                "data": scores.ravel().tolist(),
            }
            self.answer(200, {"model_name": NAME, "outputs": [output]})

        def answer(self, status: int, document: dict[str, object]) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            """The one who asks keeps the record."""

    return Handler


def main(out: Path) -> None:
    model = skops.io.load(out / "served" / "model.skops", trusted=[])
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(model))
    template = (Path(__file__).parent / "heliotrope.yaml").read_text("utf-8")
    address = f"http://127.0.0.1:{server.server_address[1]}"
    (out / "project" / "heliotrope.yaml").write_text(template.replace(TEMPLATE_ADDRESS, address), "utf-8")
    print("ready", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]))
