"""A model server of the real kind, on a port of its own: KServe V2, MLflow and plain JSON before one linear classifier.

`python model_server.py COEFFICIENTS.json` prints the port. Faults by path: /fault/NAME/... behaves like /... but for the fault;
/count gives how many requests were answered, /seen the headers of the last one.
"""

import json
import math
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Model:
    """Softmax of a linear map; what a scikit-learn LogisticRegression says."""

    def __init__(self, document):
        self.columns = document["columns"]
        self.weights = document["weights"]
        self.intercepts = document["intercepts"]

    def probabilities(self, row):
        logits = [
            sum(weight * value for weight, value in zip(weights, row, strict=True)) + intercept
            for weights, intercept in zip(self.weights, self.intercepts, strict=True)
        ]
        raised = [math.exp(logit - max(logits)) for logit in logits]
        return [value / sum(raised) for value in raised]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 2**16
    model: Model
    lock = threading.Lock()
    count = 0
    seen: dict = {}
    failures: dict = {}

    def log_message(self, *_):
        pass

    def do_GET(self):
        if self.path == "/count":
            return self.answer(200, {"count": Handler.count})
        if self.path == "/seen":
            return self.answer(200, Handler.seen)
        if self.path.endswith("/v2/models/single"):
            shape = [-1, len(self.model.columns)]
            return self.answer(
                200, {"name": "single", "inputs": [{"name": "x", "datatype": "FP64", "shape": shape}], "outputs": []}
            )
        if self.path.endswith("/v2/models/columns"):
            inputs = [{"name": name, "datatype": "FP64", "shape": [-1, 1]} for name in self.model.columns]
            return self.answer(200, {"name": "columns", "inputs": inputs, "outputs": []})
        return self.answer(404, {"error": "unknown"})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with Handler.lock:
            Handler.count += 1
            Handler.seen = dict(self.headers.items())
            first = not Handler.failures.get(self.path)
            Handler.failures[self.path] = True
        path, fault = self.path, None
        if path.startswith("/fault/"):
            _, _, fault, rest = path.split("/", 3)
            path = "/" + rest
        if self.fault(fault, first=first):
            return None
        try:
            document = json.loads(body)
            status, answer = 200, self.predictions(path, document, fault)
        except (KeyError, ValueError, TypeError, IndexError) as error:
            status, answer = 400, {"error": f"{type(error).__name__}: {error}"}
        return self.answer(status, answer)

    def fault(self, fault, *, first):  # noqa: PLR0911 - one return for each way to fail
        """Whether the fault was the whole answer."""
        if fault == "slow":
            time.sleep(3)
        elif fault == "unavailable-once" and first:
            self.answer(503, {"error": "starting"})
            return True
        elif fault == "unavailable":
            self.answer(503, {"error": "down"})
            return True
        elif fault == "busy-once" and first:
            self.answer(429, {"error": "slower"}, {"Retry-After": "7"})
            return True
        elif fault == "garbage":
            self.raw(200, b"<html>it works</html>")
            return True
        elif fault == "huge":
            self.huge()
            return True
        elif fault == "closes":
            self.close_connection = True
            self.connection.close()
            return True
        elif fault == "redirects":
            self.answer(307, {}, {"Location": "http://127.0.0.1:1/elsewhere"})
            return True
        elif fault == "forbidden":
            self.answer(401, {"error": "no token"})
            return True
        return False

    def predictions(self, path, document, fault):
        kserve = path.startswith("/v2/models/") and path.endswith("/infer")
        rows = self.kserve_rows(document) if kserve else self.rows(path, document)
        scores = [self.model.probabilities(row) for row in rows]
        if fault == "labels":
            scores = [row.index(max(row)) for row in scores]
        elif fault == "wrong-shape":
            scores = scores[1:]
        elif fault == "no-distribution":
            scores = [[value + 1 for value in row] for row in scores]
        elif fault == "nan":
            scores = [[float("nan")] * len(row) for row in scores]
        if kserve:
            flat = [value for row in scores for value in (row if isinstance(row, list) else [row])]
            shape = [len(scores), len(scores[0])] if isinstance(scores[0], list) else [len(scores)]
            return {"outputs": [{"name": "scores", "datatype": "FP64", "shape": shape, "data": flat}]}
        return {"result": {"scores": scores}} if path == "/predict" else {"predictions": scores}

    def kserve_rows(self, document):
        tensors = {tensor["name"]: tensor for tensor in document["inputs"]}
        if len(tensors) == 1:
            (tensor,) = tensors.values()
            width = tensor["shape"][1]
            data = tensor["data"]
            return [data[start : start + width] for start in range(0, len(data), width)]
        return [list(row) for row in zip(*(tensors[name]["data"] for name in self.model.columns), strict=True)]

    def rows(self, path, document):
        if path == "/invocations" and "dataframe_split" in document:
            split = document["dataframe_split"]
            if set(split["columns"]) != set(self.model.columns):
                raise ValueError("other columns than those of training")
            places = [split["columns"].index(name) for name in self.model.columns]
            return [[row[place] for place in places] for row in split["data"]]
        rows = document["inputs" if path == "/invocations" else "instances"]
        if any(isinstance(row, dict) and row.keys() != set(self.model.columns) for row in rows):
            raise ValueError("other columns than those of training")
        return [[row[name] for name in self.model.columns] if isinstance(row, dict) else row for row in rows]

    def answer(self, status, document, headers=None):
        self.raw(status, json.dumps(document).encode(), headers)

    def raw(self, status, body, headers=None):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def huge(self):
        self.send_response(200)
        self.send_header("Content-Length", str(2**40))
        self.end_headers()
        try:
            while True:
                self.wfile.write(b" " * 2**20)
        except OSError:
            self.close_connection = True


def main():
    with open(sys.argv[1], encoding="utf-8") as file:  # noqa: PTH123 - nothing but the standard library's plainest
        Handler.model = Model(json.load(file))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    print(server.server_address[1], flush=True)  # noqa: T201 - how the parent learns it
    server.serve_forever()


if __name__ == "__main__":
    main()
