"""More boosted trees: categories, early stopping, random forests, many classes."""

import numpy as np

from tests.corpus.boosting import FILES as _FIRST
from tests.corpus.boosting import X, Y, _joblib, _pickle, _save, version

__all__ = ["FILES", "version"]

FILES = {}
Y3 = (X[:, 1] * 3).astype(int)
if any(name.startswith("xgb") for name in _FIRST):
    import xgboost

    def _early():
        model = xgboost.XGBClassifier(n_estimators=5, early_stopping_rounds=2, eval_metric="logloss")
        return model.fit(X, Y, eval_set=[(X, Y)], verbose=False)

    FILES["xgb-early.pkl"] = _pickle(_early)
    FILES["xgb-forest.joblib"] = _joblib(lambda: xgboost.XGBRFRegressor(n_estimators=3).fit(X, X[:, 0]))
    FILES["xgb-multi.ubj"] = _save(lambda: xgboost.XGBClassifier(n_estimators=2).fit(X, Y3))
    FILES["xgb-linear.json"] = _save(lambda: xgboost.XGBRegressor(booster="gblinear", n_estimators=2).fit(X, X[:, 0]))
    FILES["xgb-dart.pkl"] = _pickle(lambda: xgboost.XGBRegressor(booster="dart", n_estimators=2).fit(X, X[:, 0]), 5)
if any(name.startswith("lgbm") for name in _FIRST):
    import lightgbm

    FILES["lgbm-multi.pkl"] = _pickle(
        lambda: lightgbm.LGBMClassifier(n_estimators=2, verbose=-1, min_child_samples=2).fit(X, Y3)
    )
    FILES["lgbm-dart.joblib"] = _joblib(
        lambda: lightgbm.LGBMRegressor(boosting_type="dart", n_estimators=2, verbose=-1).fit(X, X[:, 0]), compress=3
    )
    FILES["lgbm-ranker.pkl"] = _pickle(
        lambda: lightgbm.LGBMRanker(n_estimators=2, verbose=-1).fit(X, Y, group=[40, 40])
    )
    FILES["lgbm-dart.txt"] = _save(
        lambda: lightgbm.train({"objective": "binary", "verbose": -1}, lightgbm.Dataset(X, Y), 2)
    )
if any(name.startswith("cat") for name in _FIRST):
    import catboost

    _OPTIONS = {"iterations": 2, "verbose": False, "allow_writing_files": False}
    _MIXED = [[float(row[0]), "ab"[int(row[1] * 2)]] for row in X]
    FILES["cat-categories.cbm"] = _save(
        lambda: catboost.CatBoostClassifier(cat_features=[1], **_OPTIONS).fit(_MIXED, Y)
    )
    FILES["cat-multi.pkl"] = _pickle(lambda: catboost.CatBoostClassifier(**_OPTIONS).fit(X, Y3))
    FILES["cat-ranker.joblib"] = _joblib(
        lambda: catboost.CatBoostRanker(**_OPTIONS).fit(X, Y, group_id=np.repeat([0, 1], 40)), compress=3
    )
