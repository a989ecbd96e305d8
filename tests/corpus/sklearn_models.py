"""Estimators of scikit-learn, fitted, as pickle, joblib and compressed joblib."""

import pickle
from pathlib import Path

import joblib
import numpy as np
import sklearn
from sklearn import (
    cluster,
    compose,
    decomposition,
    ensemble,
    feature_extraction,
    feature_selection,
    gaussian_process,
    impute,
    linear_model,
    model_selection,
    naive_bayes,
    neighbors,
    neural_network,
    pipeline,
    preprocessing,
    svm,
    tree,
)

R = np.random.RandomState(0)
X = R.rand(60, 4)
Y = (X[:, 0] > 0.5).astype(int)
T = X.sum(axis=1)
TEXTS = ["exec the plan", "import goods", "the cat sat", "a dog ran"] * 5


def version():
    return f"{sklearn.__version__}-numpy{np.__version__}"


def _pickle(build, protocol=4):
    return lambda path: Path(path).write_bytes(pickle.dumps(build(), protocol))


def _joblib(build, **options):
    return lambda path: joblib.dump(build(), path, **options)


MODELS = {
    "logistic": lambda: linear_model.LogisticRegression().fit(X, Y),
    "ridge": lambda: linear_model.Ridge().fit(X, T),
    "lasso-cv": lambda: linear_model.LassoCV(cv=3).fit(X, T),
    "sgd": lambda: linear_model.SGDClassifier(random_state=0).fit(X, Y),
    "forest": lambda: ensemble.RandomForestClassifier(5, random_state=0).fit(X, Y),
    "extra-trees": lambda: ensemble.ExtraTreesRegressor(5, random_state=0).fit(X, T),
    "boosting": lambda: ensemble.GradientBoostingClassifier(n_estimators=5, random_state=0).fit(X, Y),
    "hist-boosting": lambda: ensemble.HistGradientBoostingClassifier(max_iter=3).fit(X, Y),
    "isolation": lambda: ensemble.IsolationForest(n_estimators=5, random_state=0).fit(X),
    "stacking": lambda: ensemble.StackingClassifier(
        [("t", tree.DecisionTreeClassifier()), ("l", linear_model.LogisticRegression())], cv=2
    ).fit(X, Y),
    "tree": lambda: tree.DecisionTreeClassifier().fit(X, Y),
    "svc": lambda: svm.SVC(probability=True, random_state=0).fit(X, Y),
    "knn": lambda: neighbors.KNeighborsClassifier().fit(X, Y),
    "knn-ball": lambda: neighbors.KNeighborsClassifier(algorithm="ball_tree").fit(X, Y),
    "bayes": lambda: naive_bayes.GaussianNB().fit(X, Y),
    "mlp": lambda: neural_network.MLPClassifier((5,), max_iter=20, random_state=0).fit(X, Y),
    "process": lambda: gaussian_process.GaussianProcessRegressor().fit(X, T),
    "kmeans": lambda: cluster.KMeans(2, n_init=1, random_state=0).fit(X),
    "dbscan": lambda: cluster.DBSCAN().fit(X),
    "pca": lambda: decomposition.PCA(2).fit(X),
    "svd": lambda: decomposition.TruncatedSVD(2, random_state=0).fit(X),
    "tfidf": lambda: feature_extraction.text.TfidfVectorizer(stop_words="english", ngram_range=(1, 2)).fit(TEXTS),
    "counts": lambda: feature_extraction.text.CountVectorizer(analyzer="char").fit(TEXTS),
    "dictionary": lambda: feature_extraction.DictVectorizer().fit([{"a": 1}, {"b": 2}]),
    "scaler": lambda: preprocessing.StandardScaler().fit(X),
    "one-hot": lambda: preprocessing.OneHotEncoder(handle_unknown="ignore").fit([["a"], ["b"]]),
    "polynomial": lambda: preprocessing.PolynomialFeatures(2).fit(X),
    "labels": lambda: preprocessing.LabelEncoder().fit(["a", "b"]),
    "function": lambda: preprocessing.FunctionTransformer(np.log1p).fit(X),
    "imputer": lambda: impute.SimpleImputer().fit(X),
    "knn-imputer": lambda: impute.KNNImputer().fit(X),
    "select": lambda: feature_selection.SelectKBest(feature_selection.f_classif, k=2).fit(X, Y),
    "pipeline": lambda: pipeline.make_pipeline(
        preprocessing.StandardScaler(), decomposition.PCA(2), linear_model.LogisticRegression()
    ).fit(X, Y),
    "text-pipeline": lambda: pipeline.Pipeline(
        [("tfidf", feature_extraction.text.TfidfVectorizer()), ("nb", naive_bayes.MultinomialNB())]
    ).fit(TEXTS, [0, 1, 2, 3] * 5),
    "columns": lambda: compose.ColumnTransformer(
        [("n", preprocessing.StandardScaler(), [0, 1]), ("m", preprocessing.MinMaxScaler(), [2])],
        remainder="passthrough",
    ).fit(X),
    "grid": lambda: model_selection.GridSearchCV(linear_model.LogisticRegression(), {"C": [0.1, 1]}, cv=2).fit(X, Y),
}
_FORMS = (
    ("pkl", _pickle),
    ("joblib", _joblib),
    ("joblib.z", lambda build: _joblib(build, compress=3)),
    ("p2.pkl", lambda build: _pickle(build, 2)),
)
FILES = {
    f"{name}.{_FORMS[number % 4][0]}": _FORMS[number % 4][1](build)
    for number, (name, build) in enumerate(MODELS.items())
}
FILES["forest-xz.joblib"] = _joblib(MODELS["forest"], compress=("xz", 3))
FILES["boosting-p5.pkl"] = _pickle(MODELS["boosting"], 5)
