"""More of scikit-learn: the estimators that are met less often."""

import numpy as np
import sklearn
from sklearn import (
    calibration,
    cluster,
    compose,
    covariance,
    cross_decomposition,
    decomposition,
    discriminant_analysis,
    dummy,
    ensemble,
    feature_extraction,
    feature_selection,
    gaussian_process,
    isotonic,
    kernel_approximation,
    kernel_ridge,
    linear_model,
    manifold,
    metrics,
    mixture,
    model_selection,
    multiclass,
    multioutput,
    naive_bayes,
    neighbors,
    neural_network,
    pipeline,
    preprocessing,
    random_projection,
    semi_supervised,
    svm,
    tree,
)

from tests.corpus.sklearn_models import TEXTS, R, T, X, Y, _joblib, _pickle

Z = np.stack([T, -T], axis=1)


def version():
    return f"{sklearn.__version__}-numpy{np.__version__}"


def _searched():
    import scipy.stats

    search = model_selection.RandomizedSearchCV(
        ensemble.RandomForestClassifier(3, random_state=0), {"max_depth": scipy.stats.randint(1, 5)}, n_iter=2, cv=2
    )
    return search.fit(X, Y)


def _process():
    kernel = (
        gaussian_process.kernels.RBF() * gaussian_process.kernels.ConstantKernel()
        + gaussian_process.kernels.WhiteKernel()
    )
    return gaussian_process.GaussianProcessClassifier(kernel=None).fit(X, Y), kernel


def _frame_pipeline():
    import pandas as pd

    frame = pd.DataFrame({"a": R.rand(20), "b": ["u", "v"] * 10})
    columns = compose.make_column_transformer(
        (preprocessing.OneHotEncoder(), compose.make_column_selector(dtype_exclude=np.number)),
        (preprocessing.RobustScaler(), ["a"]),
    )
    return pipeline.make_pipeline(columns, linear_model.LogisticRegression()).fit(frame, [0, 1] * 10)


MODELS = {
    "calibrated": lambda: calibration.CalibratedClassifierCV(linear_model.LogisticRegression(), cv=2).fit(X, Y),
    "agglomerative": lambda: cluster.AgglomerativeClustering(2).fit(X),
    "spectral": lambda: cluster.SpectralClustering(2, random_state=0).fit(X),
    "birch": lambda: cluster.Birch().fit(X),
    "minibatch": lambda: cluster.MiniBatchKMeans(2, n_init=1, random_state=0).fit(X),
    "elliptic": lambda: covariance.EllipticEnvelope(random_state=0).fit(X),
    "pls": lambda: cross_decomposition.PLSRegression(2).fit(X, T),
    "nmf": lambda: decomposition.NMF(2, random_state=0).fit(X),
    "lda-topics": lambda: decomposition.LatentDirichletAllocation(2, random_state=0).fit(X),
    "ica": lambda: decomposition.FastICA(2, random_state=0).fit(X),
    "kernel-pca": lambda: decomposition.KernelPCA(2).fit(X),
    "discriminant": lambda: discriminant_analysis.LinearDiscriminantAnalysis().fit(X, Y),
    "dummy": lambda: dummy.DummyClassifier().fit(X, Y),
    "adaboost": lambda: ensemble.AdaBoostClassifier(n_estimators=3, random_state=0).fit(X, Y),
    "bagging": lambda: ensemble.BaggingClassifier(n_estimators=3, random_state=0).fit(X, Y),
    "voting": lambda: ensemble.VotingClassifier(
        [("a", linear_model.LogisticRegression()), ("b", naive_bayes.GaussianNB())]
    ).fit(X, Y),
    "boosting-regressor": lambda: ensemble.GradientBoostingRegressor(n_estimators=3, loss="huber").fit(X, T),
    "hist-regressor": lambda: ensemble.HistGradientBoostingRegressor(max_iter=3, loss="poisson").fit(X, T),
    "hasher": lambda: feature_extraction.FeatureHasher().fit([{"a": 1}]),
    "hashing-vectorizer": feature_extraction.text.HashingVectorizer,
    "rfe": lambda: feature_selection.RFECV(linear_model.LogisticRegression(), cv=2).fit(X, Y),
    "threshold": lambda: feature_selection.VarianceThreshold().fit(X),
    "process": _process,
    "isotonic": lambda: isotonic.IsotonicRegression().fit(T, T),
    "nystroem": lambda: kernel_approximation.Nystroem(n_components=5).fit(X),
    "kernel-ridge": lambda: kernel_ridge.KernelRidge().fit(X, T),
    "elastic": lambda: linear_model.ElasticNet().fit(X, T),
    "huber": lambda: linear_model.HuberRegressor().fit(X, T),
    "poisson": lambda: linear_model.PoissonRegressor().fit(X, T),
    "ransac": lambda: linear_model.RANSACRegressor(random_state=0).fit(X, T),
    "bayesian": lambda: linear_model.BayesianRidge().fit(X, T),
    "logistic-cv": lambda: linear_model.LogisticRegressionCV(cv=2).fit(X, Y),
    "quantile": lambda: linear_model.QuantileRegressor().fit(X, T),
    "isomap": lambda: manifold.Isomap().fit(X),
    "scorers": lambda: [metrics.make_scorer(metrics.f1_score), metrics.get_scorer("roc_auc")],
    "mixture": lambda: mixture.GaussianMixture(2, random_state=0).fit(X),
    "splits": lambda: [
        model_selection.StratifiedKFold(3),
        model_selection.TimeSeriesSplit(3),
        model_selection.ShuffleSplit(),
    ],
    "searched": _searched,
    "one-vs-rest": lambda: multiclass.OneVsRestClassifier(svm.LinearSVC()).fit(X, (T * 3).astype(int) % 3),
    "multioutput": lambda: multioutput.MultiOutputRegressor(linear_model.Ridge()).fit(X, Z),
    "chain": lambda: multioutput.RegressorChain(linear_model.Ridge()).fit(X, Z),
    "complement": lambda: naive_bayes.ComplementNB().fit(X, Y),
    "radius": lambda: neighbors.RadiusNeighborsRegressor().fit(X, T),
    "neighbours-kd": lambda: neighbors.NearestNeighbors(algorithm="kd_tree").fit(X),
    "outlier": lambda: neighbors.LocalOutlierFactor(novelty=True).fit(X),
    "density": lambda: neighbors.KernelDensity().fit(X),
    "centroid": lambda: neighbors.NearestCentroid().fit(X, Y),
    "mlp-regressor": lambda: neural_network.MLPRegressor(hidden_layer_sizes=(3,), solver="lbfgs", max_iter=10).fit(
        X, T
    ),
    "rbm": lambda: neural_network.BernoulliRBM(2, n_iter=1).fit(X),
    "union": lambda: pipeline.make_union(decomposition.PCA(1), preprocessing.MinMaxScaler()).fit(X),
    "frame-pipeline": _frame_pipeline,
    "ordinal": lambda: preprocessing.OrdinalEncoder().fit([["a"], ["b"]]),
    "power": lambda: preprocessing.PowerTransformer().fit(X),
    "quantiles": lambda: preprocessing.QuantileTransformer(n_quantiles=10).fit(X),
    "bins": lambda: preprocessing.KBinsDiscretizer(3, encode="ordinal").fit(X),
    "splines": lambda: preprocessing.SplineTransformer().fit(X),
    "binarizer": lambda: preprocessing.MultiLabelBinarizer().fit([("a",), ("b", "c")]),
    "target": lambda: preprocessing.TargetEncoder(cv=2).fit([["a"], ["b"]] * 10, [0, 1] * 10),
    "projection": lambda: random_projection.GaussianRandomProjection(2).fit(X),
    "spreading": lambda: semi_supervised.LabelSpreading().fit(X, Y),
    "svr": lambda: svm.SVR().fit(X, T),
    "nusvc": lambda: svm.NuSVC().fit(X, Y),
    "one-class": lambda: svm.OneClassSVM().fit(X),
    "extra-tree": lambda: tree.ExtraTreeClassifier().fit(X, Y),
    "tree-regressor": lambda: tree.DecisionTreeRegressor(criterion="absolute_error").fit(X, T),
    "text-union": lambda: pipeline.make_union(
        feature_extraction.text.TfidfVectorizer(), feature_extraction.text.CountVectorizer(binary=True)
    ).fit(TEXTS),
    "target-regressor": lambda: compose.TransformedTargetRegressor(
        linear_model.Ridge(), func=np.log1p, inverse_func=np.expm1
    ).fit(X, T),
    "halving-params": lambda: model_selection.ParameterGrid({"a": [1, 2]}),
}
FILES = {}
for _number, (_name, _build) in enumerate(MODELS.items()):
    if _number % 3 == 0:
        FILES[f"{_name}.pkl"] = _pickle(_build)
    elif _number % 3 == 1:
        FILES[f"{_name}.joblib"] = _joblib(_build)
    else:
        FILES[f"{_name}.joblib.gz"] = _joblib(_build, compress=("gzip", 3))
