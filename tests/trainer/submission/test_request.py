import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import UserError
from trainer.submission.request import Request
from trainer.train_options import TrainOptions


def request(data="sample", output="gs://bucket/run", **more) -> Request:
    train = TrainOptions(recipe=more.pop("recipe", "cnn"), data=data, output=output, **more)
    return Request("digits", train, ("--recipe", "cnn"), gpus=0)


@pytest.mark.parametrize("name", ["", "Digits", "1st", "a_b", "a-", "-a", "a.b", "a" * 54, "a b"])
def test_a_name_that_is_none_for_a_host_is_refused(name):
    with pytest.raises(UserError, match="--name is not 1 to 53"):
        dataclasses.replace(request(), name=name)


@given(st.from_regex(r"[a-z]([-a-z0-9]{0,51}[a-z0-9])?", fullmatch=True))
def test_names_of_hosts_are_taken(name):
    assert dataclasses.replace(request(), name=name).name == name


def test_workers_resume_and_are_told_so_once():
    assert request().flags == ["--recipe", "cnn", "--resume"]
    asked = dataclasses.replace(request(resume=True), arguments=("--resume", "--recipe", "cnn"))
    assert asked.flags == ["--resume", "--recipe", "cnn"]


def test_workers_start_with_all_their_gpus_or_not_at_all():
    whole = dataclasses.replace(request(), gpus=8)
    assert whole.flags == ["--recipe", "cnn", "--require-gpus", "8", "--resume"]
    own = dataclasses.replace(request(require_gpus=4), gpus=8, arguments=("--require-gpus", "4"))
    assert own.flags == ["--require-gpus", "4", "--resume"]


@pytest.mark.parametrize(
    "data",
    [
        "sample",
        "sample@2",
        "tfds:mnist",
        "folder:gs://b/x@5",
        ("sample", "tfrecord:gs://b/*.tfrecord"),
        ("fonts:", "fonts:Lato,DejaVu Sans,1000@2", "not-digits:"),
    ],
)
def test_what_all_workers_see_is_taken(data):
    request(data).check_paths()


@pytest.mark.parametrize(
    ("more", "flag"),
    [
        ({"output": "run"}, "--output"),
        ({"data": "folder:meters"}, "--data"),
        ({"data": ("sample", "labels:new.csv@5")}, "--data"),
        ({"data": "fonts:Lato,meters/fonts"}, "--data"),
        ({"init": "run/bundle"}, "--init"),
        ({"teacher": "/bundle"}, "--teacher"),
        ({"member": ("gs://b/bundle", "bundle")}, "--member"),
        ({"data_dir": "/tfds"}, "--data-dir"),
    ],
)
def test_what_only_this_machine_sees_is_refused(more, flag):
    with pytest.raises(UserError, match=f"workers cannot see the path of {flag}"):
        request(**more).check_paths()


def test_a_shared_folder_will_do_and_its_neighbor_will_not():
    request("folder:/mnt/train/meters", "/mnt/train/run").check_paths(("/mnt/train",))
    with pytest.raises(UserError, match="below /mnt/train"):
        request("sample", "/mnt/trainers/run").check_paths(("/mnt/train",))


@pytest.mark.parametrize("mount", ["/mnt/train", "/mnt/train/"])
@pytest.mark.parametrize("data", ["folder:/mnt/train", "folder:/mnt/train/", "folder:/mnt/train@5"])
def test_a_shared_folder_itself_will_do(data, mount):
    request(data).check_paths((mount,))


def test_the_model_that_comes_with_digitmill_is_on_all_workers():
    request(init="shipped").check_paths()
    with pytest.raises(UserError, match="workers cannot see the path of --teacher"):
        request(teacher="shipped").check_paths()


def test_a_batch_that_does_not_divide_over_all_gpus_is_refused_before_it_costs_anything():
    with pytest.raises(UserError, match="divide evenly over 6 replicas"):
        dataclasses.replace(request(), workers=3, gpus=2).check_batch()
    dataclasses.replace(request(batch=66), workers=3, gpus=2).check_batch()
    dataclasses.replace(request(), workers=4, gpus=0).check_batch()


def test_a_recipe_that_is_taught_needs_a_teacher_that_need_not_be_here():
    with pytest.raises(UserError, match="needs a teacher"):
        request(recipe="distilled").check_batch()
    request(recipe="distilled", teacher="gs://nowhere/bundle").check_batch()
