import pathlib
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from digitmill.engines.bundle_loader import Bundle
from digitmill.engines.engine import EngineError
from digitmill.engines.saved_model_ops import check_ops
from schemas.model.bundle import OUTPUT, SAVED_MODEL, SIGNATURE
from tests.model_writer import saved


def test_what_training_wrote_only_computes(bundle: Bundle) -> None:
    check_ops((pathlib.Path(bundle.place) / SAVED_MODEL / "saved_model.pb").read_bytes())


@pytest.mark.parametrize(
    "harmless",
    [
        lambda digits: None,
        lambda digits: tf.debugging.assert_equal(tf.shape(digits)[1], 28),
        lambda digits: tf.cond(tf.size(digits) > 0, lambda: tf.constant(1), lambda: tf.constant(2)),
        lambda digits: tf.while_loop(lambda step: step < 3, lambda step: step + 1, [tf.constant(0)])[0],
        lambda digits: tf.map_fn(lambda digit: tf.cast(digit, tf.int32) + 1, digits, tf.int32),
        lambda digits: tf.image.resize(tf.io.decode_png(tf.io.encode_png(digits[0, ..., None])), [28, 28]),
    ],
)
def test_what_computes_is_let_through(tmp_path: pathlib.Path, harmless: Callable) -> None:
    check_ops(saved(tmp_path, harmless))


NOWHERE = {"prefix": "/nowhere", "tensor_names": ["x"], "shape_and_slices": [""]}


def saves(digits: tf.Tensor) -> tf.Operation:
    return tf.raw_ops.SaveV2(**NOWHERE, tensors=[1.0])


def restores(digits: tf.Tensor) -> tf.Tensor:
    return tf.raw_ops.RestoreV2(**NOWHERE, dtypes=[tf.float32])[0]


@pytest.mark.parametrize(
    ("effect", "op"),
    [
        (lambda digits: tf.io.write_file("/nowhere/x", "owned"), "WriteFile"),
        (lambda digits: tf.io.read_file("/etc/hostname"), "ReadFile"),
        (lambda digits: tf.io.matching_files("/etc/*"), "MatchingFiles"),
        (lambda digits: tf.py_function(lambda: 1, [], tf.int64), "EagerPyFunc"),
        (lambda digits: tf.numpy_function(lambda: 1, [], tf.int64), "PyFunc"),
        (lambda digits: tf.numpy_function(lambda: 1, [], tf.int64, stateful=False), "PyFuncStateless"),
        (lambda digits: tf.print("hello"), "PrintV2"),
        (lambda digits: tf.random.uniform([1]), "RandomUniform"),
        (lambda digits: tf.raw_ops.DebugIdentity(input=1.0, debug_urls=["file:///nowhere"]), "DebugIdentity"),
        (restores, "RestoreV2"),
        (saves, "SaveV2"),
        (lambda digits: tf.data.Dataset.range(3).reduce(np.int64(0), lambda a, b: a + b), "Dataset"),
    ],
)
def test_what_does_more_is_refused_and_named(tmp_path: pathlib.Path, effect: Callable, op: str) -> None:
    with pytest.raises(EngineError, match=f"would do more than compute: .*{op}"):
        check_ops(saved(tmp_path, effect))


def test_an_effect_in_a_branch_that_a_branch_calls_is_found(tmp_path: pathlib.Path) -> None:
    @tf.function
    def inner() -> tf.Tensor:
        tf.io.write_file("/nowhere/x", "owned")
        return tf.constant(1)

    def effect(digits: tf.Tensor) -> tf.Tensor:
        return tf.cond(
            tf.size(digits) > 9,
            lambda: tf.cond(tf.size(digits) > 99, inner, lambda: tf.constant(2)),
            lambda: tf.constant(3),
        )

    with pytest.raises(EngineError, match="WriteFile"):
        check_ops(saved(tmp_path, effect))


def edited(graph: bytes, edit: Callable[[saved_model_pb2.SavedModel], object]) -> bytes:
    model = saved_model_pb2.SavedModel.FromString(graph)
    edit(model)
    return model.SerializeToString()


def test_the_savers_functions_are_refused_where_something_else_leads_to_them(tmp_path: pathlib.Path) -> None:
    graph = saved(tmp_path, lambda digits: None)

    def expose(model: saved_model_pb2.SavedModel) -> None:
        functions = model.meta_graphs[0].graph_def.library.function
        (name,) = (f.signature.name for f in functions if "traced_save" in f.signature.name)
        model.meta_graphs[0].object_graph_def.concrete_functions[name].SetInParent()

    check_ops(graph)
    with pytest.raises(EngineError, match="SaveV2"):
        check_ops(edited(graph, expose))


def test_naming_the_signature_as_the_saver_hides_nothing(tmp_path: pathlib.Path) -> None:
    graph = saved(tmp_path, lambda digits: tf.io.write_file("/nowhere/x", "owned"))

    def disguise(model: saved_model_pb2.SavedModel) -> None:
        meta = model.meta_graphs[0]
        output = meta.signature_def[SIGNATURE].outputs[OUTPUT].name
        meta.saver_def.save_tensor_name = output
        meta.saver_def.restore_op_name = output.partition(":")[0]

    with pytest.raises(EngineError, match="WriteFile"):
        check_ops(edited(graph, disguise))


def test_an_op_that_nobody_knows_is_refused(tmp_path: pathlib.Path) -> None:
    def invent(model: saved_model_pb2.SavedModel) -> None:
        model.meta_graphs[0].graph_def.node.add(name="x", op="SomeCustomOp")

    with pytest.raises(EngineError, match="SomeCustomOp"):
        check_ops(edited(saved(tmp_path, lambda digits: None), invent))


@pytest.mark.parametrize("graph", [b"", b"no graph at all", bytes(100)])
def test_what_is_no_saved_model_is_refused(graph: bytes) -> None:
    with pytest.raises(EngineError, match="the SavedModel"):
        check_ops(graph)


def test_a_model_of_tensorflow_1_is_refused(tmp_path: pathlib.Path) -> None:
    graph = edited(
        saved(tmp_path, lambda digits: None),
        lambda model: model.meta_graphs[0].ClearField("object_graph_def"),
    )
    with pytest.raises(EngineError, match="no object graph"):
        check_ops(graph)
