"""Reports of runs that are in a bucket."""

from trainer.report import writing


def test_a_report_is_made_again_in_the_bucket(folder_of, bucket, through_proxy):
    folder = folder_of()
    kept = [path for path in folder.rglob("*") if path.suffix in (".json", ".csv")]
    for path in kept:
        bucket.put(f"one/{path.relative_to(folder).as_posix()}", path.read_bytes())
    place = f"{bucket.uri}/one"
    assert writing.is_run(place)
    assert writing.rebuild(place) == f"{place}/report.html"
    assert place.encode() in bucket.read("one/report.html")
    assert bucket.read("one/report/confusion.png") == (folder / "report" / "confusion.png").read_bytes()
    # Several, into the bucket too.
    compared = writing.compare([place, str(folder)], to=f"{bucket.uri}/both")
    page = bucket.read("both/report.html").decode()
    assert f"<code>digitmill report {place} " in page
    assert page.count(place) == 3  # in the legend, in the command, and in what its button copies
    assert compared == f"{bucket.uri}/both/report.html"
