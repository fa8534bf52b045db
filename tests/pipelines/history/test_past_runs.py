import pathlib

from pipelines.history.past_runs import PastRun
from schemas.manifest import Manifest
from schemas.run_plan import RunPlan


def test_a_plan_that_names_its_input_by_a_link_has_the_scope_of_the_real_folder(
    manifest: Manifest, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "scans").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "scans")

    def scope(*inputs: str) -> object:
        plan = RunPlan(inputs, "model", "1", settings={}, past={})
        return PastRun("here", manifest, plan, "digest").scope

    for spelling in ("link", "scans", "link/../scans"):
        assert scope(f"{tmp_path}/{spelling}") == scope(f"{tmp_path}/scans")
        assert scope(f"{tmp_path}/{spelling}/**/*.png") == scope(f"{tmp_path}/scans/**/*.png")
    assert scope(f"{tmp_path}/other") != scope(f"{tmp_path}/scans") != scope("gs://bucket/scans")
