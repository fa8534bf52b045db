"""Scores one folder by digitmill, by the stock Beam route and by a loop without Beam, in turns.

Usage: python -m benchmarks.scoring [--images N] [--rounds N]

The images are MNIST's training digits where the project's shared data is at hand, else the embedded
sample's over and over. Every contender is a process of its own and reports its pipeline's seconds,
start-up of the interpreter and imports left out. Medians and ratios are what counts: machines differ.
"""

import argparse
import pathlib
import tempfile

from benchmarks.setting import report, run_digitmill, script, train, write_images


def digitmill(images: pathlib.Path, bundle: pathlib.Path, output: pathlib.Path) -> float:
    manifest = run_digitmill(images, bundle, output)
    expected = sum(1 for path in images.rglob("*") if path.is_file())
    if manifest["counts"]["scored"] != expected:
        raise SystemExit(f"{manifest['counts']['scored']:,} rows of {expected:,} images")
    return manifest["times"]["pipeline_seconds"]


CONTENDERS = {
    "digitmill": digitmill,
    "stock Beam": lambda *paths: script("benchmarks.stock_beam", *paths),
    "loop without Beam": lambda *paths: script("benchmarks.ceiling", *paths),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=60_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write_images(folder / "images", arguments.images)
        bundle = train(folder / "run")
        seconds: dict[str, list[float]] = {contender: [] for contender in CONTENDERS}
        for turn in range(arguments.rounds):
            for contender, measure in CONTENDERS.items():
                output = folder / f"{contender.replace(' ', '-')}-{turn}"
                seconds[contender].append(measure(folder / "images", bundle, output))
    report(seconds, arguments.images)


if __name__ == "__main__":
    main()
