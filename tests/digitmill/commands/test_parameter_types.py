import click
import pytest
from click.testing import CliRunner

from digitmill.cli import digitmill as cli
from digitmill.commands.parameter_types import LocalPath, Place
from schemas.errors import UserError
from trainer.tuning.tune_options import TuneOptions

ADDRESSES = ["gs://bucket/a//b.csv", "s3://bucket/x", "az://container/x"]


def parameters() -> list[tuple[str, click.Parameter]]:
    """Every parameter of every verb."""
    context = click.Context(cli)
    verbs = [(name, cli.get_command(context, name)) for name in cli.list_commands(context)]
    return [(f"{name} {param.name}", param) for name, verb in verbs for param in verb.params]


def test_every_path_is_one_of_two_kinds() -> None:
    kinds = {type(param.type) for _, param in parameters() if isinstance(param.type, click.Path | click.File)}
    assert kinds == {LocalPath}
    assert sum(isinstance(param.type, Place) for _, param in parameters()) > 20


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_is_handed_on_or_refused(address: str) -> None:
    for name, param in parameters():
        if isinstance(param.type, Place):
            assert param.type.convert(address, param, None) == address, name
        elif isinstance(param.type, LocalPath):
            with pytest.raises(click.BadParameter, match="is not on this machine's disk"):
                param.type.convert(address, param, None)


def test_a_private_key_in_a_bucket_is_refused_in_one_line() -> None:
    words = ["score", "--input", "in", "--output", "out", "--sign", "gs://bucket/key.pem"]
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 2
    assert "'--sign': gs://bucket/key.pem is not on this machine's disk. Give a path there." in result.output


def test_options_made_in_python_are_checked_too() -> None:
    with pytest.raises(UserError, match=r"'gs://bucket/x'.*not on this machine's disk"):
        TuneOptions(recipe="cnn", data="sample", output="gs://bucket/x")
