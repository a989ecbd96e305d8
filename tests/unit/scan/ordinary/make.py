"""Writes the files beside it: python make.py FOLDER, with tensorflow 2.21 and keras 3.15. They are committed so that tests need neither."""

import json
import os
import sys
import zipfile
from pathlib import Path

os.environ["CUDA_VISIBLE_DEVICES"] = ""

import keras
import tensorflow as tf

L, ops, v1 = keras.layers, keras.ops, tf.compat.v1


def configurations() -> dict[str, keras.Model]:
    yes = keras.Input((12,), dtype="int32")
    x = L.Bidirectional(L.LSTM(8, return_sequences=True))(L.Embedding(100, 16)(yes))
    x = L.LayerNormalization()(x + L.MultiHeadAttention(2, 8)(x, x))
    x = ops.mean(L.TimeDistributed(L.Dense(4, activation="gelu"))(x), axis=1)
    x = L.Concatenate()([x, ops.relu(x)])
    functional = keras.Model(yes, [L.Dense(1, activation=keras.activations.sigmoid)(x), x])
    functional.compile("rmsprop", loss=["binary_crossentropy", "mse"])
    vectors = L.TextVectorization(output_sequence_length=5)
    vectors.adapt(["exec eval os.system", "d e"])
    text = keras.Sequential([keras.Input((1,), dtype="string"), vectors, L.Embedding(20, 4), L.GRU(4)])
    lookup = keras.Sequential([keras.Input((1,), dtype="string"), L.StringLookup(vocabulary=["a", "../b"])])
    image = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            L.RandomFlip(),
            L.Conv2D(8, 3, activation="relu", kernel_regularizer=keras.regularizers.L2(1e-4)),
            L.BatchNormalization(),
            L.SeparableConv2D(4, 3),
            L.GlobalAveragePooling2D(),
            L.Dense(
                10, kernel_initializer=keras.initializers.HeNormal(1), kernel_constraint=keras.constraints.MaxNorm(2)
            ),
            L.Normalization(mean=1.0, variance=2.0),
            L.Dense(2, dtype="mixed_float16"),
        ]
    )
    image.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-3, 100)),
        loss=keras.losses.SparseCategoricalCrossentropy(),
        metrics=["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(3)],
    )
    cells = keras.Sequential(
        [
            keras.Input((5, 4)),
            L.TimeDistributed(keras.Sequential([keras.Input((4,)), L.Dense(3)])),
            L.RNN([L.GRUCell(3), L.LSTMCell(2)]),
            L.ReLU(max_value=6.0),
        ]
    )
    return {"functional": functional, "text": text, "lookup": lookup, "image": image, "cells": cells}


class Module(tf.Module):
    def __init__(self) -> None:
        Path("vocabulary.txt").write_text("a\nb\n")
        index = tf.lookup.TextFileIndex
        words = tf.lookup.TextFileInitializer(
            "vocabulary.txt", tf.string, index.WHOLE_LINE, tf.int64, index.LINE_NUMBER
        )
        self.table = tf.lookup.StaticHashTable(words, -1)
        self.v = tf.Variable([1.0, 2.0])

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        body = lambda i, a: (i + 1, tf.cond(tf.reduce_sum(a) > 2, lambda: a + 1, lambda: a))  # noqa: E731
        return tf.while_loop(lambda i, a: i < 3, body, [0, self.table.lookup(x)])[1]


class Flex(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([4], tf.complex64)])
    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        return tf.linalg.det(tf.reshape(x, [2, 2]))


def main(folder: Path) -> None:
    os.chdir(folder)
    found = {}
    for name, model in configurations().items():
        model.save("m.keras")
        found[name] = json.loads(zipfile.ZipFile("m.keras").read("config.json"))
        model.save("m.h5")
        import h5py

        with h5py.File("m.h5") as file:
            found[f"{name} (legacy)"] = json.loads(file.attrs["model_config"])
            if "training_config" in file.attrs:
                found[f"{name} (training)"] = json.loads(file.attrs["training_config"])
    Path("keras.json").write_text(json.dumps(found, separators=(",", ":")))
    tf.saved_model.save(Module(), "module")
    Path("module/saved_model.pb").rename("saved_model.pb")
    Path("module/fingerprint.pb").rename("fingerprint.pb")
    Path("module/variables/variables.index").rename("variables.index")
    with tf.Graph().as_default() as graph, v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 3], name="x")
        y = tf.matmul(x, v1.get_variable("w", [3, 2]))
        saver = v1.train.Saver()
        session.run(v1.global_variables_initializer())
        saver.save(session, "v1/model")
        Path("v1/model.meta").rename("model.meta")
        frozen = v1.graph_util.convert_variables_to_constants(session, graph.as_graph_def(), [y.op.name])
        Path("frozen.pb").write_bytes(frozen.SerializeToString())
    small = keras.Sequential([keras.Input((4,)), L.Dense(3, activation="relu"), L.Dense(2)])
    small.export("small", verbose=False)
    Path("dense.tflite").write_bytes(tf.lite.TFLiteConverter.from_saved_model("small").convert())
    tf.saved_model.save(Flex(), "flex")
    converter = tf.lite.TFLiteConverter.from_saved_model("flex")
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    Path("flex.tflite").write_bytes(converter.convert())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
