"""Boosted trees: pickles, joblib and the libraries' own formats."""

import pickle
from pathlib import Path

import joblib
import numpy as np

R = np.random.RandomState(0)
X = R.rand(80, 4)
Y = (X[:, 0] > 0.5).astype(int)
FILES = {}
_VERSIONS = []


def version():
    return "-".join(_VERSIONS)


def _pickle(build, protocol=4):
    return lambda path: Path(path).write_bytes(pickle.dumps(build(), protocol))


def _joblib(build, **options):
    return lambda path: joblib.dump(build(), path, **options)


def _save(build):
    return lambda path: build().save_model(str(path))


try:
    import xgboost

    _VERSIONS.append(f"xgboost{xgboost.__version__}")

    def _xgb():
        return xgboost.XGBClassifier(n_estimators=3, max_depth=2).fit(X, Y)

    def _xgb_booster():
        return _xgb().get_booster()

    FILES.update(
        {
            "xgb-classifier.pkl": _pickle(_xgb),
            "xgb-classifier.joblib": _joblib(_xgb),
            "xgb-classifier.joblib.z": _joblib(_xgb, compress=3),
            "xgb-regressor.pkl": _pickle(lambda: xgboost.XGBRegressor(n_estimators=2).fit(X, X[:, 1]), 2),
            "xgb-ranker.pkl": _pickle(lambda: xgboost.XGBRanker(n_estimators=2).fit(X, Y, group=[40, 40])),
            "xgb-booster.pkl": _pickle(_xgb_booster),
            "xgb-model.json": _save(_xgb_booster),
            "xgb-model.ubj": _save(_xgb_booster),
        }
    )
except ImportError:
    pass

try:
    import lightgbm

    _VERSIONS.append(f"lightgbm{lightgbm.__version__}")

    def _lgbm():
        return lightgbm.LGBMClassifier(n_estimators=3, verbose=-1, min_child_samples=2).fit(X, Y)

    FILES.update(
        {
            "lgbm-classifier.pkl": _pickle(_lgbm),
            "lgbm-classifier.joblib": _joblib(_lgbm),
            "lgbm-regressor.pkl": _pickle(
                lambda: lightgbm.LGBMRegressor(n_estimators=2, verbose=-1).fit(X, X[:, 1]), 2
            ),
            "lgbm-booster.pkl": _pickle(lambda: _lgbm().booster_),
            "lgbm-model.txt": _save(lambda: _lgbm().booster_),
        }
    )
except ImportError:
    pass

try:
    import catboost

    _VERSIONS.append(f"catboost{catboost.__version__}")

    def _cat():
        return catboost.CatBoostClassifier(iterations=3, depth=2, verbose=False, allow_writing_files=False).fit(X, Y)

    FILES.update(
        {
            "cat-classifier.pkl": _pickle(_cat),
            "cat-regressor.joblib": _joblib(
                lambda: catboost.CatBoostRegressor(iterations=2, verbose=False, allow_writing_files=False).fit(
                    X, X[:, 1]
                )
            ),
            "cat-model.cbm": _save(_cat),
        }
    )
except ImportError:
    pass
if not FILES:
    raise ImportError("none of xgboost, lightgbm and catboost is installed")
