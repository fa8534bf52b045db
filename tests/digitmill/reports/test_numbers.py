import pytest

from digitmill.reports import numbers


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (999, "999"), (1234567, "1,234,567"), (12345.6, "12,346")]
)
def test_thousands_are_separated(value: float, text: str) -> None:
    assert numbers.thousands(value) == text


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [(0.98184, 2, "98.18 %"), (1.0, 1, "100.0 %"), (0.0, 2, "0.00 %"), (None, 2, "–")],
)
def test_shares_do_not_break_before_their_sign(value: float | None, decimals: int, text: str) -> None:
    assert numbers.share(value, decimals) == text.replace(" ", "\u00a0")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.02345, "0.0234"),
        (0.0000123, "0.0000123"),
        (3e-9, "0.000000003"),
        (12.0, "12"),
        (None, "–"),
        (0.0, "0"),
    ],
)
def test_fractions_have_no_exponent(value: float | None, text: str) -> None:
    assert numbers.fraction(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.9, "0.9"),
        (0.99975, "0.99975"),
        (1, "1"),
        (0.999998, "0.999998"),
        (0.9945833, "0.9946"),
        (0.51234, "0.51"),
        (0, "0"),
    ],
)
def test_a_threshold_is_not_rounded_to_one(value: float, text: str) -> None:
    assert numbers.threshold(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (2.34, "2.3 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 0 s"),
        (252, "4 min 12 s"),
        (3599.6, "1 h 0 min"),
        (3900, "1 h 5 min"),
        (360_000, "100 h 0 min"),
    ],
)
def test_a_time_span_has_its_two_largest_units(seconds: float, text: str) -> None:
    assert numbers.duration(seconds).replace("\u00a0", " ") == text


@pytest.mark.parametrize(
    ("amount", "text"), [(0, "0.00"), (1234.5, "1,234.50"), (0.00249, "0.0025"), (0.1, "0.10")]
)
def test_money_has_cents_or_two_digits(amount: float, text: str) -> None:
    assert numbers.money(amount) == text


@pytest.mark.parametrize(
    ("count", "text"), [(10, "10"), (20_000, "20,000"), (3e6, "3\u00a0M"), (2.5e6, "2.5\u00a0M")]
)
def test_axes_have_short_numbers(count: float, text: str) -> None:
    assert numbers.compact(count) == text


def test_a_figure_has_as_many_digits_as_mean_something() -> None:
    assert [numbers.figure(value) for value in (None, 0, 1_234_567, 0.30004, 12.5)] == [
        "unknown",
        "0",
        "1,234,567",
        "0.3",
        "12.5",
    ]
