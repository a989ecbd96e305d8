"""Small models, really trained, one of each kind, and a real server before one of them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SERVER = Path(__file__).parents[1] / "servers" / "model_server.py"


@pytest.fixture(scope="session")
def table():
    """60 rows of two numbers and a category, with answers of three classes that follow from them."""
    np, pd = pytest.importorskip("numpy"), pytest.importorskip("pandas")
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "mean size": generator.uniform(0, 1, 60),
            "age": generator.uniform(0, 1, 60),
            "colour": pd.Categorical(generator.choice(["blue", "green", "red"], 60), ["blue", "green", "red"]),
        }
    )
    return frame, (frame["age"] > 0.5).astype(int).to_numpy() + (frame["colour"] == "red").to_numpy()


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """A server process with a scikit-learn model behind it: base address, table, and what the model says of it."""
    np, pd = pytest.importorskip("numpy"), pytest.importorskip("pandas")
    from sklearn.linear_model import LogisticRegression

    generator = np.random.default_rng(1)
    frame = pd.DataFrame(generator.uniform(0, 1, (40, 3)), columns=["a", "b", "c"])
    classifier = LogisticRegression(C=100).fit(frame, frame.to_numpy().argmax(axis=1))
    file = tmp_path_factory.mktemp("server") / "model.json"
    document = {"columns": list(frame.columns), "weights": classifier.coef_, "intercepts": classifier.intercept_}
    file.write_text(json.dumps(document, default=lambda array: array.tolist()))
    process = subprocess.Popen([sys.executable, str(SERVER), str(file)], stdout=subprocess.PIPE)
    try:
        port = int(process.stdout.readline())
        yield f"http://127.0.0.1:{port}", frame, classifier.predict_proba(frame)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
