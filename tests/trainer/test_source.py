import pytest

from schemas.errors import UserError
from trainer.data.catalog import CatalogSource
from trainer.data.folder import FolderSource
from trainer.data.sample import SampleSource
from trainer.data.source import open_source


def test_each_kind_has_its_source(label_folder):
    assert isinstance(open_source("sample"), SampleSource)
    assert isinstance(open_source("tfds:mnist", data_dir="gs://bucket/tfds"), CatalogSource)
    assert isinstance(open_source(f"folder:{label_folder}"), FolderSource)


@pytest.mark.parametrize(
    ("spec", "remedy"),
    [
        ("sampel", "did you mean sample?"),
        ("mnist", "tfds:mnist"),
        ("scans/2026", "folder:scans/2026"),
        ("tfds:", "tfds:mnist"),
        ("folder:", "folder:"),
        ("csv:labels.csv", "tfds:mnist"),
        ("sample:all", "sample"),
        ("", "tfds:mnist"),
    ],
)
def test_anything_else_is_refused_with_what_was_probably_meant(spec, remedy):
    with pytest.raises(UserError) as refusal:
        open_source(spec)
    assert refusal.value.rule == "--data is sample, tfds:NAME, folder:PATH or tfrecord:GLOB"
    assert refusal.value.got == spec
    assert remedy in refusal.value.remedy


def test_opening_needs_no_tensorflow(run_python):
    code = "import sys; from trainer.data.source import open_source as o; o('sample'); o('tfds:mnist')"
    assert "False" in run_python(f"{code}; print('tensorflow' in sys.modules)")
