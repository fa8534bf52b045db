"""The deployment for the Kubernetes operator, held against the schema that the operator publishes."""

import copy
import pathlib
import zipfile
from typing import Any

import jsonschema
import pytest
import yaml

from tests.custom_resources import closed
from tests.flink import flink_cluster

pytestmark = pytest.mark.flink

FOLDER = pathlib.Path(__file__).parents[2] / "deploy/flink"


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    with zipfile.ZipFile(flink_cluster.operator_api()) as jar:
        resource = yaml.safe_load(jar.read("META-INF/fabric8/flinkdeployments.flink.apache.org-v1.yml"))
    (version,) = [each for each in resource["spec"]["versions"] if each["name"] == "v1beta1"]
    return closed(version["schema"]["openAPIV3Schema"])


@pytest.fixture
def deployment() -> dict[str, Any]:
    """What Kubernetes itself knows of every resource is not in the resource's schema."""
    whole = yaml.safe_load((FOLDER / "FlinkDeployment.yaml").read_text())
    return {"spec": whole["spec"]}


def test_the_operator_takes_it(schema: dict[str, Any], deployment: dict[str, Any]) -> None:
    jsonschema.Draft7Validator(schema).validate(deployment)


@pytest.mark.parametrize("mistake", [{"flinkVersion": "v9_9"}, {"taskManagers": {}}, {"image": 7}])
def test_the_schema_finds_mistakes(
    schema: dict[str, Any], deployment: dict[str, Any], mistake: dict[str, Any]
) -> None:
    wrong = copy.deepcopy(deployment)
    wrong["spec"] |= mistake
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(schema).validate(wrong)
