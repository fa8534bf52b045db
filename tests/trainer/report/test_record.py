import dataclasses
import json

import pytest

from trainer.report.record import Member, RunRecord

MEMBER = Member("members/seed-3/bundle", "cnn", 3, right=99, images=103, digest="ab", epochs=2)


def test_a_record_is_read_back(run_record: RunRecord) -> None:
    whole = dataclasses.replace(run_record, members=(MEMBER,))
    assert RunRecord.from_json(whole.to_json()) == whole


def test_a_record_of_an_earlier_version_has_no_random_images(run_record: RunRecord) -> None:
    fields = json.loads(run_record.to_json())
    del fields["random"]
    assert RunRecord.from_json(json.dumps(fields)) == dataclasses.replace(run_record, random=())


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda fields: fields.update(format=2), "format 1"),
        (lambda fields: fields.pop("answers"), "wrong fields"),
        (lambda fields: fields.update(more=1), "wrong fields"),
        (lambda fields: fields["class_counts"].update(train=[1]), "10 digits"),
        (lambda fields: fields["answers"]["test"]["confusion"].pop(), "10 rows"),
        (lambda fields: fields["mistaken"][0].pop("png"), "wrong fields"),
    ],
)
def test_an_invalid_record_is_refused(run_record: RunRecord, damage, said: str) -> None:
    fields = json.loads(run_record.to_json())
    damage(fields)
    with pytest.raises(ValueError, match=said):
        RunRecord.from_json(json.dumps(fields))


def test_a_record_stays_small(record_of, few_digits) -> None:
    # Every image wrong: what is kept of them is bounded.
    assert len(record_of(wrong_each=1).to_json()) < 300_000


@pytest.mark.parametrize(
    ("bundle", "link"),
    [
        ("members/seed-3/bundle", "members/seed-3/report.html"),
        ("gs://bucket/other/bundle", ""),
        ("javascript:alert(1)/bundle", ""),
    ],
)
def test_only_members_of_the_run_are_linked(bundle: str, link: str) -> None:
    assert dataclasses.replace(MEMBER, bundle=bundle).link == link
