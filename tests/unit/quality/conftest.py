"""Small real models on tables with numbers, integers, booleans and categories, and on images."""

import pytest

np = pytest.importorskip("numpy", reason="needs numpy (extra 'data')")
pd = pytest.importorskip("pandas", reason="needs pandas (extra 'data')")


@pytest.fixture(scope="session")
def loans():
    """A table of every kind of column whose answer depends on all of them; some incomes are missing."""
    rng = np.random.default_rng(0)
    n = 600
    frame = pd.DataFrame(
        {
            "income": rng.normal(3000, 800, n).round(2),
            "years": rng.integers(0, 30, n),
            "owner": rng.random(n) < 0.4,
            "town": pd.Categorical(rng.choice(["arles", "basel", "cork"], n)),
        }
    )
    score = (frame["income"] - 3000) / 800 + (frame["years"] - 15) / 8 + 1.5 * frame["owner"]
    score += frame["town"].map({"arles": -1.5, "basel": 0.0, "cork": 1.5}).astype(float)
    answers = (score > score.median()).to_numpy(np.int64)
    frame.loc[rng.random(n) < 0.05, "income"] = np.nan
    return frame, answers


@pytest.fixture(scope="session")
def pipeline(loans):
    """Fitted on the loans: `pipeline(strict)` raises on unseen categories and missing numbers, else it copes."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    frame, answers = loans

    def fit(*, strict: bool):
        numbers = StandardScaler() if strict else make_pipeline(SimpleImputer(), StandardScaler())
        encoder = OneHotEncoder(handle_unknown="error" if strict else "ignore")
        columns = ColumnTransformer(
            [("numbers", numbers, ["income", "years", "owner"]), ("categories", encoder, ["town"])]
        )
        model = make_pipeline(columns, LogisticRegression(C=10))
        whole = frame.notna().all(axis=1)
        return model.fit(frame[whole], answers[whole]) if strict else model.fit(frame, answers)

    return fit


@pytest.fixture(scope="session")
def digits():
    """1797 images of 8 x 8 in 0 to 1, one channel, and a linear model that knows them."""
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression

    data = load_digits()
    images = (data.images / 16).astype(np.float32)[:, None]
    model = LogisticRegression(max_iter=300).fit(images.reshape(len(images), -1), data.target)
    weights, bias = model.coef_.T, model.intercept_

    def scores(batch):
        with np.errstate(invalid="ignore", over="ignore"):
            return batch.reshape(len(batch), -1) @ weights + bias

    return images, data.target.astype(np.int64), scores
