"""Flags that the verbs about training share."""

from collections.abc import Callable

from cloup import OptionGroup, option

from trainer import recipes


def recipe(meaning: str, *, group: OptionGroup) -> Callable[[Callable], Callable]:
    """Returns the option that names the recipe, in a verb's own words; shells complete it."""
    return option(
        "--recipe",
        required=True,
        metavar="NAME",
        shell_complete=lambda ctx, param, typed: [name for name in recipes.NAMES if name.startswith(typed)],
        help=meaning,
        group=group,
    )


def data(meaning: str, *, group: OptionGroup) -> Callable[[Callable], Callable]:
    """Returns the option that names the sources, in a verb's own words."""
    return option(
        "--data",
        default=("sample",),
        show_default=True,
        multiple=True,
        metavar="SOURCE[@WEIGHT]",
        help=meaning,
        group=group,
    )


def data_dir(*, group: OptionGroup) -> Callable[[Callable], Callable]:
    """Returns the option that says where TensorFlow Datasets keeps its data."""
    return option(
        "--data-dir", metavar="DIR", help="Where tfds: keeps prepared data, local or gs://.", group=group
    )
