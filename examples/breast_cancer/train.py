"""Train two classifiers of breast tumours and write each as a project folder: train.py OUT.

OUT/linear is a scikit-learn pipeline of scaling and logistic regression. OUT/boosted is XGBoost with its defaults, trained
on a table into which a part of the held-out tumours slipped, as happens when files are merged. Data: the Wisconsin
diagnostic set (569 tumours, 30 measurements each), which comes with scikit-learn.
"""

import shutil
import sys
from pathlib import Path

import pandas as pd
import skops.io
import xgboost
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

SEED = 0
TARGET = "diagnosis"
SLIPPED = 50
"""Of the 190 held-out tumours, in the training table of OUT/boosted."""


def main(out: Path) -> None:
    train, test = split()
    merged = pd.concat([train, test.head(SLIPPED)]).sample(frac=1, random_state=SEED)
    features = [name for name in train.columns if name != TARGET]
    for name, table in (("boosted", merged), ("linear", train)):
        folder = out / name
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(Path(__file__).parent / name / "heliotrope.yaml", folder / "heliotrope.yaml")
        table.to_parquet(folder / "train.parquet", index=False)
        test.to_csv(folder / "test.csv", index=False)
        print(folder)
    boosted = xgboost.XGBClassifier(random_state=SEED, n_jobs=1)
    boosted.fit(merged[features], (merged[TARGET] == "benign").astype(int))
    boosted.save_model(out / "boosted" / "model.ubj")
    linear = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, random_state=SEED))
    linear.fit(train[features], train[TARGET])
    skops.io.dump(linear, out / "linear" / "model.skops")


def split() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two thirds to train on, one third held out, with equal shares of both diagnoses."""
    loaded = load_breast_cancer(as_frame=True)
    table = loaded.data.rename(columns=lambda name: name.replace(" ", "_"))
    table[TARGET] = [str(loaded.target_names[label]) for label in loaded.target]
    train, test = train_test_split(table, test_size=1 / 3, random_state=SEED, stratify=table[TARGET])
    return train, test


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]))
