"""What every image, lock and workflow must say: who runs, from what, and that nothing else is installed."""

import importlib.metadata
import json
import pathlib
import re
import subprocess
import sys
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.deploy.cloud_build import CONFIG, NIGHT, ROOT

DOCKERFILES = sorted((ROOT / "deploy").rglob("*.Dockerfile"))
LOCKS = ROOT / "deploy" / "locks"
LOCKED = sorted([ROOT / "constraints.txt", *LOCKS.glob("*.txt")])
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
HEAVY = {"keras", "tensorflow", "tensorflow-datasets"}

of_each_image = pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.name)


def instructions(file: pathlib.Path) -> list[tuple[str, str]]:
    text = file.read_text().replace("\\\n", " ")
    return re.findall(r"^(ARG|FROM|COPY|RUN|USER|ENTRYPOINT) (.+)$", text, re.MULTILINE)


def wanted(name: str) -> list[Requirement]:
    """The requirements of deploy/locks/NAME.in."""
    lines = (LOCKS / f"{name}.in").read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def pinned(file: pathlib.Path) -> dict[str, list[Requirement]]:
    """The requirements of a lock, by name; some have a version for each Python."""
    found: dict[str, list[Requirement]] = {}
    for line in re.findall(r"^([a-z0-9].+?) *\\$", file.read_text(), re.MULTILINE):
        one = Requirement(line)
        found.setdefault(canonicalize_name(one.name), []).append(one)
    return found


@of_each_image
def test_what_an_image_copies_is_there(file: pathlib.Path) -> None:
    copies = [rest for kind, rest in instructions(file) if kind == "COPY" and not rest.startswith("--from")]
    sources = [word for rest in copies for word in rest.split()[:-1]]
    assert sources
    for source in sources:
        assert (ROOT / source).exists(), source


@pytest.mark.parametrize(
    "file", [file for file in DOCKERFILES if file.name != "launcher.Dockerfile"], ids=str
)
def test_an_image_has_every_room(file: pathlib.Path) -> None:
    apart = {"benchmarks", "docs", "examples", "tests"}
    rooms = {path.parent.name for path in ROOT.glob("*/__init__.py")} - apart
    assert rooms == set(re.findall(r"^COPY (\w+) \1$", file.read_text(), re.MULTILINE))


@of_each_image
def test_an_image_says_by_number_who_runs(file: pathlib.Path) -> None:
    users = [rest for kind, rest in instructions(file) if kind == "USER"]
    # Kubernetes' runAsNonRoot takes numbers only. Dataflow mounts folders of root's.
    assert len(users) == 1
    assert re.fullmatch("[0-9]+", users[0])
    assert (users == ["0"]) == (file.parent.name == "dataflow")
    kinds = [kind for kind, _ in instructions(file)]
    assert "RUN" not in kinds[kinds.index("USER") :]


@of_each_image
def test_an_image_is_made_of_images_that_stay(file: pathlib.Path) -> None:
    given = dict(rest.partition("=")[::2] for kind, rest in instructions(file) if kind == "ARG")
    bases = [rest.split()[0] for kind, rest in instructions(file) if kind == "FROM"]
    for name in bases:
        base = name
        while found := re.search(r"\$\{(\w+)\}", base):
            base = base.replace(found[0], given[found[1]] or "GIVEN:TAG")
        assert re.search(r":[^:/@]+(@sha256:[0-9a-f]{64})?$", base), base
        assert ":latest" not in base
    if "${BASE}" in bases and given["BASE"].startswith("python:"):
        assert "@sha256:" in given["BASE"]


def test_no_build_s_step_runs_in_an_image_that_changes() -> None:
    names = [one["name"] for one in (*CONFIG["steps"], *NIGHT["steps"])]
    for name in names:
        assert name == "${_SCORER}" or re.search(r":(\$\{_PYTHON\}|[0-9.]+(-slim)?)$", name), name
    assert re.fullmatch(r"\d+\.\d+\.\d+", CONFIG["substitutions"]["_PYTHON"])
    for file in (*ROOT.glob(".ci/*"), *WORKFLOWS, *(ROOT / "deploy").rglob("*.y*ml")):
        assert ":latest" not in file.read_text(), file


def test_every_action_is_pinned_to_a_commit_with_its_version() -> None:
    used = [line for file in WORKFLOWS for line in re.findall(r"uses: (.+)", file.read_text())]
    assert used
    for line in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line


def test_only_jobs_that_sign_in_to_the_cloud_have_a_token_for_it() -> None:
    for file in WORKFLOWS:
        workflow = yaml.safe_load(file.read_text())
        assert set(workflow["permissions"].items()) <= {("contents", "read")}
        for job in workflow["jobs"].values():
            signs_in = any("google-github-actions/auth@" in one.get("uses", "") for one in job["steps"])
            assert ("id-token" in job.get("permissions", {})) == signs_in


def installs() -> list[tuple[str, str]]:
    """Every `pip install` of images, builds and the Makefile, with its file."""
    files = [*DOCKERFILES, *ROOT.glob(".ci/*"), *WORKFLOWS, ROOT / "Makefile"]
    texts = [(file.name, file.read_text().replace("\\\n", " ")) for file in files]
    return [(name, line) for name, text in texts for line in re.findall(r"pip install .+", text)]


def test_nothing_is_installed_without_a_hash() -> None:
    found = installs()
    assert {name for name, _ in found} == {"Makefile", *(file.name for file in DOCKERFILES)}
    for name, line in found:
        assert "--no-deps" in line, (name, line)
        # The package itself is a folder, which has no hash; what builds it comes from a lock.
        itself = line.endswith(" .") or name == "Makefile"
        assert "--require-hashes --requirement " in line or ("--no-build-isolation" in line and itself), (
            name,
            line,
        )
    makefile = (ROOT / "Makefile").read_text()
    assert "INSTALL := $(INSTALL_SELF) --require-hashes\n" in makefile
    for file in re.findall(r"\$\(INSTALL\) --requirement (\S+)", makefile):
        assert (ROOT / file.replace("$(LOCKS)", "deploy/locks")).is_file()


@pytest.mark.parametrize("file", LOCKED, ids=lambda file: file.name)
def test_a_lock_has_hashes_and_no_registry(file: pathlib.Path) -> None:
    text = file.read_text()
    entries = re.split(r"\n(?=\S)", text.rstrip("\n"))
    assert len(entries) == sum(map(len, pinned(file).values()))
    for entry in entries:
        assert re.fullmatch(r"[a-z0-9-]+==\S+( ; .+)?( \\\n    --hash=sha256:[0-9a-f]{64})+", entry), entry
    assert "://" not in text


@pytest.mark.parametrize("name", ["all", "bench", "build", "launcher", "worker"])
def test_no_lock_has_another_version_than_development(name: str) -> None:
    ours = pinned(ROOT / "constraints.txt")
    found = pinned(LOCKS / f"{name}.txt")
    shared = set(ours) & set(found)
    assert set(found) - shared <= ({"ray", "filelock", "msgpack"} if name == "bench" else set())
    for package in shared:
        assert {one.specifier for one in found[package]} <= {one.specifier for one in ours[package]}


def declared(*extras: str) -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [
        *project["dependencies"],
        *(line for one in extras for line in project["optional-dependencies"][one]),
    ]
    return [one for one in map(Requirement, lines) if one.name != "digitmill"]


@pytest.mark.parametrize(
    ("file", "extras"),
    [
        ("constraints.txt", ["formats", "gcp", "notebook", "openvino", "train", "tune", "dev"]),
        ("deploy/locks/all.txt", ["gcp", "train", "tune"]),
        ("deploy/locks/launcher.txt", ["formats"]),
    ],
)
def test_a_lock_has_what_the_project_declares(file: str, extras: list[str]) -> None:
    found = pinned(ROOT / file)
    for one in declared(*extras):
        several = found[canonicalize_name(one.name)]
        assert all(
            one.specifier.contains(next(iter(pin.specifier)).version, prereleases=True) for pin in several
        )


def test_workers_and_launchers_have_no_tensorflow() -> None:
    names = {canonicalize_name(one.name) for one in declared("formats", "gcp")}
    for name in ("worker", "launcher"):
        assert {canonicalize_name(one.name) for one in wanted(name)} <= names
        assert not HEAVY & set(pinned(LOCKS / f"{name}.txt"))
    slim = {file.name for file in DOCKERFILES if "all.txt" not in file.read_text()}
    assert slim == {"launcher.Dockerfile", "scorer.Dockerfile", "worker.Dockerfile"}


IMPORT = """
import importlib, json, sys
class Absent:
    absent = set(json.load(sys.stdin))
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
for name in sys.argv[1:]:
    importlib.import_module(name)
"""

DECODERS = [
    ".".join(file.relative_to(ROOT).with_suffix("").parts)
    for file in sorted((ROOT / "digitmill" / "imaging" / "decoders").glob("[a-z]*.py"))
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lock", "modules"),
    [
        (
            "worker",
            [
                *("pipelines.score.transforms", "digitmill.engines.engine", "ai_edge_litert.interpreter"),
                *("digitmill.imaging.guard", "imagecodecs", "pillow_heif", "pypdfium2", "psutil", *DECODERS),
            ],
        ),
        (
            "launcher",
            [
                *("pipelines.score.score_job", "pipelines.compact.compact_job", "pipelines.verify"),
                *("pipelines.flex_template", "digitmill.cli", "digitmill.verbs.doctor_checks", "yaml"),
                *("pipelines.output.signing", "cryptography"),
            ],
        ),
    ],
    ids=["worker", "launcher"],
)
def test_an_image_has_whatever_it_imports(lock: str, modules: list[str]) -> None:
    has = set(pinned(LOCKS / f"{lock}.txt")) | {"digitmill"}
    assert {"apache-beam", "numpy"} <= has
    absent = [
        module
        for module, providers in importlib.metadata.packages_distributions().items()
        if not has & set(map(canonicalize_name, providers))
    ]
    done = subprocess.run(
        [sys.executable, "-c", IMPORT, *modules],
        cwd=ROOT,
        input=json.dumps(absent),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-1500:]


def test_the_worker_s_beam_is_the_project_s() -> None:
    text = (ROOT / "deploy" / "dataflow" / "worker.Dockerfile").read_text()
    (version,) = re.findall(r"^ARG BEAM=(.+)$", text, re.MULTILINE)
    assert f"apache-beam=={version} \\\n" in (ROOT / "constraints.txt").read_text()
