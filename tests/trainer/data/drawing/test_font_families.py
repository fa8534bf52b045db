import pathlib
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import get_data_path

from schemas.errors import UserError
from trainer.data.drawing.font_families import divide, find_designs, legible_digits
from trainer.data.splits import PARTS

BUNDLED = pathlib.Path(get_data_path(), "fonts", "ttf")


def families_of(designs) -> list[str]:
    return sorted({font.family for part in designs.values() for design in part for font in design})


def test_fonts_of_a_folder_are_found_at_any_depth(tmp_path, segment_font):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    segment_font(tmp_path / "deep" / "er" / "one.ttf", "Segments Bold Condensed")
    shutil.copy(BUNDLED / "DejaVuSerif.ttf", tmp_path / "two.TTF")
    (tmp_path / "LICENSE").write_text("free")
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    designs = find_designs((str(tmp_path),))
    # Words of style are no part of a family's name.
    assert families_of(designs) == ["DejaVu Serif", "Segments"]
    licenses = {font.family: font.license for design in designs["train"] for font in design}
    assert licenses == {"Segments": "public domain", "DejaVu Serif": "Bitstream Vera"}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Cr:TTE0920160314143256A000369 Mo:TTE0920160314143256A000369", ""),
        ("------", ""),
        ("---- Free for all", "Free for all"),
        ("OFL", "OFL"),
        ("CC BY 4.0", "CC BY 4.0"),
        ("GPL2", "GPL2"),
        ("under the SIL Open Font License, 1.1", "SIL Open Font License"),
    ],
)
def test_a_license_is_named_or_quoted_and_noise_is_neither(tmp_path, segment_font, text, name):
    segment_font(tmp_path / "one.ttf", "Segments", license_text=text)
    [font] = [font for part in find_designs((str(tmp_path),)).values() for design in part for font in design]
    assert font.license == name


@pytest.mark.parametrize(
    "left_out",
    [
        {"hollow": True},
        {"digits": ("abcdefg",) * 10},
        {"digits": ("abc", "efg", "ag", "bf", "adg", "cef", "ae", "dc", "gd", "af")},
        {"digits": ("abcdef", "bc", "abdeg", "abcdg", "bcfg", "acdfg", "acdefg", "abc", "abcdefg")},
        {"digits": ("abcdef", "bc", "abdeg", "abcdg", "", "acdfg", "acdefg", "abc", "abcdefg", "abcdfg")},
    ],
    ids=["hollow", "alike", "symbols", "no nine", "blank four"],
)
def test_fonts_without_legible_digits_are_left_out(tmp_path, segment_font, left_out):
    segment_font(tmp_path / "solid.ttf", "Solid")
    segment_font(tmp_path / "other.ttf", "Other", **left_out)
    assert families_of(find_designs((str(tmp_path),))) == ["Solid"]


def test_fonts_that_come_with_matplotlib_are_legible_but_for_symbols():
    legible = {name for name in ("cmsy10", "cmex10", "cmr10", "DejaVuSans-Oblique", "LastResortHE-Regular")
               if legible_digits(str(BUNDLED / f"{name}.ttf")) is not None}  # fmt: skip
    assert legible == {"cmr10", "DejaVuSans-Oblique"}


def test_families_are_named_whatever_their_case():
    assert "DejaVu Sans Mono" in families_of(find_designs(("dejavu sans mono",)))


def test_a_family_that_is_not_there_is_refused_with_a_suggestion():
    with pytest.raises(UserError, match="no such font family") as refusal:
        find_designs(("DejaVu Sansa",))
    assert "DejaVu Sans" in refusal.value.hint


def test_a_folder_that_is_not_there_or_has_no_fonts_is_refused(tmp_path):
    with pytest.raises(UserError, match="no such folder of fonts"):
        find_designs((str(tmp_path / "absent"),))
    with pytest.raises(UserError, match="no font with legible digits"):
        find_designs((str(tmp_path),))


def test_the_same_digits_under_another_name_are_in_the_same_split(tmp_path, segment_font):
    for name in ("DejaVuSans", "DejaVuSerif-BoldItalic", "cmr10", "cmtt10", "STIXGeneral"):
        shutil.copy(BUNDLED / f"{name}.ttf", tmp_path)
    for name in ("Alpha", "Beta", "Gamma", "Delta"):
        segment_font(tmp_path / f"{name}.ttf", name)
    designs = find_designs((str(tmp_path),))
    found = [{font.family for font in design} for part in PARTS for design in designs[part]]
    assert {"Alpha", "Beta", "Gamma", "Delta"} in found
    assert all(len(designs[part]) for part in PARTS)


def test_names_and_files_of_fonts_decide_not_where_they_are(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    for number, name in enumerate(("DejaVuSans", "DejaVuSerif", "cmr10", "cmtt10", "STIXGeneral")):
        shutil.copy(BUNDLED / f"{name}.ttf", tmp_path / "a" / f"{number}.ttf")
        shutil.copy(BUNDLED / f"{name}.ttf", tmp_path / "b" / f"{9 - number}.ttf")
    first, second = (
        {
            part: [[font.sha256 for font in design] for design in found]
            for part, found in find_designs((str(tmp_path / folder),)).items()
        }
        for folder in ("a", "b")
    )
    assert first == second


@given(st.sets(st.text(min_size=1), max_size=40))
def test_designs_are_divided_completely_and_by_name_alone(names):
    parts = divide(names)
    assert sorted(name for part in PARTS for name in parts[part]) == sorted(names)
    if len(names) >= 3:
        assert all(parts[part] for part in PARTS)
    else:
        assert set(parts["train"]) == names
    assert divide(sorted(names, reverse=True)) == parts


@given(st.sets(st.text(min_size=1), min_size=30, max_size=60), st.text(min_size=1))
def test_a_new_font_moves_no_other_where_there_are_many(names, new):
    before, after = divide(names), divide(names | {new})
    if all(len(before[part]) > 1 for part in PARTS):
        for part in PARTS:
            assert set(before[part]) <= set(after[part])
