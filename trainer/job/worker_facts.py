"""What the workers of one job must have in common, checked before they are connected and after reading."""

import importlib.metadata
import json
import os
from collections.abc import Callable

from digitmill.commands import Effect
from trainer import recipes
from trainer.cluster import devices, rendezvous, tf_config
from trainer.cluster.collectives import Collectives
from trainer.data.splits import Digits
from trainer.loop import precision
from trainer.recipes.parts import overrides
from trainer.train_options import TrainOptions

_LIBRARIES = ("digitmill", "tensorflow", "keras")


def meet(options: TrainOptions, *, is_over: Callable[[], bool]) -> bool:
    """Wait for the job's other workers; return False if the run was finished without this one.

    Raises:
        UserError: if workers differ in what they are about to do.
    """
    return rendezvous.meet(tf_config.read(os.environ), _facts(options), is_over=is_over)


def check_data(digits: Digits, collectives: Collectives) -> None:
    """Raise UserError if workers have read different images."""
    own = {"the digest of the data": digits.digest}
    received = collectives.exchange(json.dumps(own).encode())
    if (found := rendezvous.difference([json.loads(each) for each in received])) is not None:
        raise found


def _facts(options: TrainOptions) -> rendezvous.Facts:
    """Return what this worker is about to do, in JSON types."""
    recipe = overrides.apply(recipes.load(options.recipe), options)
    versions = {f"the version of {name}": importlib.metadata.version(name) for name in _LIBRARIES}
    here = {
        "the number of GPUs": len(devices.gpus()),
        "the dtype policy": precision.dtype_policy(recipe.precision),
    }
    flags = {f"--{name.replace('_', '-')}": value for name, value in options.recorded(Effect.RESULT).items()}
    # The same teacher may have another path on each machine.
    effective = {f"the recipe's {name}": value for name, value in overrides.settings(recipe).items()}
    return {**versions, **here, **{k: v for k, v in flags.items() if k != "--teacher"}, **effective}
