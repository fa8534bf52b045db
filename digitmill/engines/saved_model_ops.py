"""Checks the ops of a SavedModel before it is loaded: a model is a program.

A SavedModel can write files, call Python and open connections while it scores, and even while it is loaded.
Allowed are ops that TensorFlow declares stateless and that read no file, and a few whose state is the model's
own memory. Every SavedModel has functions that write and read checkpoints; they are allowed as long as
nothing that loading or scoring runs calls them.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from digitmill.engines.engine import EngineError

_OWN_MEMORY: Final = frozenset(
    {
        "Assert",
        "AssignVariableOp",
        "Case",
        "CheckNumericsV2",
        "DisableCopyOnRead",
        "HashTableV2",
        "If",
        "InitializeTableV2",
        "LookupTableFindV2",
        "LookupTableImportV2",
        "LookupTableSizeV2",
        "ReadVariableOp",
        "ResourceGather",
        "ResourceGatherNd",
        "StatefulPartitionedCall",
        "TensorArrayCloseV3",
        "TensorArrayConcatV3",
        "TensorArrayGatherV3",
        "TensorArrayReadV3",
        "TensorArrayScatterV3",
        "TensorArraySizeV3",
        "TensorArraySplitV3",
        "TensorArrayV3",
        "TensorArrayWriteV3",
        "VarHandleOp",
        "VarIsInitializedOp",
        "VariableShape",
        "While",
    }
)
"""Stateful ops that touch the model's own memory alone. No random ops: predictions must be repeatable."""

_REACHES_OUT: Final = re.compile(r"File|PyFunc|Dataset|Debug|Copy|Proto|Reader|Remote|Snapshot|Host|Summary")
"""Ops that TensorFlow declares stateless but that read files, call Python or, when debugging, write."""

_CALLS: Final = frozenset(("PartitionedCall", "StatefulPartitionedCall"))


def check_ops(saved_model: bytes) -> None:
    """Raise unless a `saved_model.pb` does nothing but compute.

    Raises:
        EngineError: when it cannot be read, was not written by `tf.saved_model.save` or Keras, or holds
            an op that does more than compute.
    """
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from tensorflow.core.protobuf import saved_model_pb2

    model = saved_model_pb2.SavedModel()
    try:
        model.ParseFromString(saved_model)
    except DecodeError as error:
        raise EngineError(f"the SavedModel cannot be read: {error}") from error
    if not model.meta_graphs or not all(graph.HasField("object_graph_def") for graph in model.meta_graphs):
        raise EngineError("the SavedModel has no object graph: it is damaged or of TensorFlow 1")
    # Sorted: the same model gives the same message.
    refused = sorted({op for graph in model.meta_graphs for op in _running_ops(graph) if not _computes(op)})
    if refused:
        raise EngineError(f"the SavedModel would do more than compute: {', '.join(refused)}")


def _computes(op: str) -> bool:
    # The public API does not say whether an op is stateful.
    from tensorflow.python.framework import op_def_registry

    if op in _OWN_MEMORY:
        return True
    known = op_def_registry.get(op)
    return known is not None and not known.is_stateful and not _REACHES_OUT.search(op)


def _running_ops(graph: Any) -> Iterator[str]:
    """Yield the ops that loading or scoring may run: all but those that only the saver calls."""
    functions = {function.signature.name: function.node_def for function in graph.graph_def.library.function}
    saver = {graph.saver_def.save_tensor_name.partition(":")[0], graph.saver_def.restore_op_name}
    nodes = graph.graph_def.node
    saving = [node for node in nodes if node.name in saver and node.op in _CALLS]
    others = [node for node in nodes if not (node.name in saver and node.op in _CALLS)]
    for_saving = _reached(_called(saving, functions), functions)
    begun = {*_called(others, functions), *graph.object_graph_def.concrete_functions} & set(functions)
    running = _reached(begun | (set(functions) - for_saving), functions)
    for node in [*others, *(node for name in running for node in functions[name])]:
        if node.op not in functions:
            yield node.op


def _reached(begun: Iterable[str], functions: dict[str, Any]) -> set[str]:
    """Return these functions and all that they call, directly or not."""
    reached, pending = set[str](), list(begun)
    while pending:
        name = pending.pop()
        if name not in reached:
            reached.add(name)
            pending += _called(functions[name], functions)
    return reached


def _called(nodes: Iterable[Any], functions: dict[str, Any]) -> set[str]:
    """Return the functions that nodes name: as their op, or in an attribute."""
    names = set()
    for node in nodes:
        names.add(node.op)
        for value in node.attr.values():
            names |= {value.func.name, *(function.name for function in value.list.func)}
    return names & set(functions)
