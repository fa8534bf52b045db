import pytest

from schemas.errors import UserError
from trainer.submission.vertex_machines import ATTACHED, BUILT_IN, check

# From Google's table "GPUs by machine type" of custom training.
FITTING = [
    ("n1-standard-8", "NVIDIA_TESLA_T4", 1),
    ("n1-standard-16", "NVIDIA_TESLA_T4", 4),
    ("n1-highmem-8", "NVIDIA_TESLA_V100", 1),
    ("n1-highmem-16", "NVIDIA_TESLA_V100", 2),
    ("n1-standard-96", "NVIDIA_TESLA_V100", 8),
    ("a2-highgpu-4g", "NVIDIA_TESLA_A100", 4),
    ("a2-megagpu-16g", "NVIDIA_TESLA_A100", 16),
    ("a2-ultragpu-1g", "NVIDIA_A100_80GB", 1),
    ("a3-highgpu-8g", "NVIDIA_H100_80GB", 8),
    ("g2-standard-12", "NVIDIA_L4", 1),
    ("g2-standard-24", "NVIDIA_L4", 2),
    ("g2-standard-96", "NVIDIA_L4", 8),
    ("g4-standard-192", "NVIDIA_RTX_PRO_6000", 4),
    ("n2-standard-8", None, 0),
    ("n1-standard-8", None, 0),
]


@pytest.mark.parametrize(("machine", "kind", "gpus"), FITTING)
def test_what_google_rents_out_is_taken(machine, kind, gpus):
    check(machine, kind, gpus)


def test_a_machine_that_no_table_has_is_left_to_the_service():
    check("a9-highgpu-8g", "NVIDIA_B200", 8)


@pytest.mark.parametrize(
    ("machine", "kind", "gpus", "words"),
    [
        ("a3-highgpu-8g", "NVIDIA_TESLA_T4", 3, "comes with 8 × NVIDIA_H100_80GB: '3 × NVIDIA_TESLA_T4'"),
        ("a3-highgpu-8g", "NVIDIA_H100_80GB", 3, "--accelerator NVIDIA_H100_80GB --gpus-per-worker 8"),
        ("a2-highgpu-1g", None, 0, "comes with 1 × NVIDIA_TESLA_A100: 'no GPU'"),
        ("n1-standard-8", "NVIDIA_TESLA_T4", 3, "takes 1/2/4 × NVIDIA_TESLA_T4"),
        ("n1-standard-96", "NVIDIA_TESLA_T4", 2, "takes 4 × NVIDIA_TESLA_T4"),
        ("n1-standard-16", "NVIDIA_TESLA_V100", 1, "takes 2/4/8 × NVIDIA_TESLA_V100"),
        ("n1-standard-8", "NVIDIA_L4", 1, "Give --machine-type g2-standard-4"),
        ("n2-standard-8", "NVIDIA_TESLA_T4", 1, "takes no GPUs.*--machine-type n1-standard-8"),
    ],
)
def test_gpus_that_the_machine_does_not_take_are_refused(machine, kind, gpus, words):
    with pytest.raises(UserError, match=words):
        check(machine, kind, gpus)


@pytest.mark.slow
def test_the_service_knows_every_kind_of_the_tables():
    from google.cloud.aiplatform_v1 import AcceleratorType

    kinds = {*ATTACHED, *(kind for kind, _ in BUILT_IN.values())}
    assert kinds <= set(AcceleratorType.__members__)
