import pathlib

from pipelines.history.past_runs import MERGED, PastRun, without_merged
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


def test_runs_in_a_state_are_left_out_and_those_with_other_inputs_where_these_count(
    manifest: Manifest,
) -> None:
    def run(digest: str, *inputs: str, merged: str = "") -> PastRun:
        return PastRun(digest, manifest, RunPlan(inputs, "m", "1", {MERGED: merged}, {}), digest)

    one, two, three = run("1", "/a"), run("2", "/a"), run("3", "/b")
    state = run("s", "/a", merged="1 3")
    later = run("t", "/a", merged="1 2 3 s")
    assert without_merged([one, two, three]) == [one, two, three]
    assert without_merged([one, three, state, two]) == [state, two]
    assert without_merged([one, three, state, two], same_scope=True) == [three, state, two]
    assert without_merged([one, two, three, state, later]) == [later]
    # A state of an earlier version names one digest of all.
    older = run("s", "/a", merged="0123")
    assert without_merged([one, older]) == [one, older]
