import shutil

import pytest
import yaml
from click.testing import CliRunner

from schemas.errors import UserError
from trainer.submit import submit

COMMON = ["--recipe", "cnn", "--data", "tfds:mnist", "--output", "gs://b/run"]
TARGETS = {
    "kubernetes": ["--image", "i"],
    "slurm": [],
    "vertex": [
        "--image",
        "i",
        "--project",
        "p",
        "--region",
        "europe-west4",
        "--accelerator",
        "NVIDIA_TESLA_T4",
    ],
}


def run(*arguments):
    done = CliRunner().invoke(submit, [*arguments], standalone_mode=True)
    if isinstance(done.exception, UserError):
        raise done.exception
    return done


def dry_run(target, *more):
    done = run("--to", target, *COMMON, *TARGETS[target], *more, "--dry-run")
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize(
    "target",
    [pytest.param(target, marks=pytest.mark.slow if target == "vertex" else ()) for target in TARGETS],
)
def test_a_dry_run_prints_and_submits_nothing(target, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert shutil.which("kubectl") is None
    printed = dry_run(target, "--epochs", "3", "--name", "mine")
    assert "mine" in printed
    assert "trainer.task" in printed
    assert "--resume" in printed


ADDED = ["--require-gpus", "1", "--resume"]


def test_flags_of_train_go_to_the_workers():
    _, job = yaml.safe_load_all(dry_run("kubernetes", "--epochs", "3", "--ema=0.9", "--xla"))
    container = job["spec"]["template"]["spec"]["containers"][0]
    assert container["args"] == [*COMMON, "--epochs", "3", "--ema=0.9", "--xla", *ADDED]
    assert job["metadata"]["name"] == "digitmill-cnn"


def test_several_sources_stay_several():
    _, job = yaml.safe_load_all(dry_run("kubernetes", "--data", "sample@2"))
    assert job["spec"]["template"]["spec"]["containers"][0]["args"].count("--data") == 2


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--epoch", "3"], "No such option '--epoch'"),
        (["--epochs", "many"], "'many' is not a valid integer"),
        (["--schedule", "linear"], "'linear' is not one of"),
        (["--ema", "2"], "2.0 is not in the range"),
        (["--workers", "0"], "0 is not in the range"),
        (["--gpus-per-worker", "-1"], "-1 is not in the range"),
    ],
)
def test_what_train_would_refuse_is_refused_here(flags, words):
    done = run("--to", "slurm", *COMMON, *flags, "--dry-run")
    assert done.exit_code == 2
    assert words in done.output


def test_a_misspelt_recipe_is_refused_with_what_was_meant():
    with pytest.raises(UserError, match="Did you mean cnn"):
        run("--to", "slurm", "--recipe", "cnm", "--output", "run", "--dry-run")


def test_a_batch_that_does_not_divide_is_refused_here():
    with pytest.raises(UserError, match="divide evenly over 6 replicas"):
        run("--to", "slurm", *COMMON, "--workers", "3", "--gpus-per-worker", "2", "--dry-run")


@pytest.mark.parametrize(
    ("target", "flag"), [("kubernetes", "image"), ("vertex", "project"), ("vertex", "region")]
)
def test_what_a_cluster_needs_is_asked_for(target, flag):
    arguments = list(TARGETS[target])
    at = arguments.index(f"--{flag}")
    del arguments[at : at + 2]
    done = run("--to", target, *COMMON, *arguments)
    assert done.exit_code == 2
    assert f"Missing option '--{flag}', which --to {target} needs" in done.output


VERTEX = "--project --region --machine-type --staging --tensorboard --restart-job-on-worker-restart"
KUBERNETES = (
    "--kind --namespace --queue --volume --memory --shm-size --node-selector --toleration --pull-secret "
    "--env --secret --deadline --ttl"
)
SLURM = "--partition --time --setup --python"


VALUES = {
    "--kind": "jobset",
    "--env": "A=b",
    "--node-selector": "a=b",
    "--toleration": "a",
    "--secret": "a",
    "--deadline": "60",
    "--ttl": "60",
}


@pytest.mark.parametrize(
    ("target", "flags"),
    [
        ("vertex", f"{KUBERNETES} {SLURM} --cpus"),
        ("kubernetes", f"{VERTEX} {SLURM}"),
        ("slurm", f"{VERTEX} {KUBERNETES} --image --service-account --accelerator --spot"),
    ],
)
def test_a_flag_of_another_cluster_is_refused(target, flags):
    for flag in flags.split():
        (option,) = (option for option in submit.params if flag in option.opts)
        given = [flag, *([] if option.is_flag else [VALUES.get(flag, "x:/y")])]
        done = run("--to", target, *COMMON, *given, "--dry-run")
        assert (flag, done.exit_code) == (flag, 2)
        assert f"{flag} goes with --to" in done.output
        assert f"not with {target}" in done.output


@pytest.mark.slow
def test_staging_builds_the_package_and_names_where_it_will_be():
    (pool,) = yaml.safe_load(dry_run("vertex", "--staging", "gs://b/staging", "--image", "python:3.12"))[
        "workerPoolSpecs"
    ]
    assert "/gcs/b/staging/" in pool["containerSpec"]["command"][2]
