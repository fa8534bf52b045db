from pipelines.packing.pack_options import PackOptions


def test_the_file_by_which_a_pack_is_resumed_is_that_of_earlier_versions() -> None:
    options = PackOptions(
        inputs=("scans", "more"), output="packed", labels="folder", beam_flags=("--runner=DirectRunner",)
    )
    assert options.run_config() == (
        "# Repeats this run: digitmill pack --config run.yaml --output NEW\n"
        "pack:\n"
        "  input:\n"
        "  - scans\n"
        "  - more\n"
        "  labels: folder\n"
        "  shard-megabytes: 100\n"
        "  beam_flags:\n"
        "  - --runner=DirectRunner\n"
    )
    resumes = (
        "digitmill pack --input scans --input more --output packed --labels folder --shard-megabytes 100 "
        "--resume --runner=DirectRunner"
    )
    assert options.command(resume=True) == resumes
