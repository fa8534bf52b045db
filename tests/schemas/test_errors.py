from schemas.errors import ExitCode, UserError


def test_an_error_says_the_rule_the_value_and_the_remedy_on_one_line() -> None:
    error = UserError("a folder exists", got="a\nb", remedy="check\nit")
    assert str(error) == r"a folder exists; got 'a\nb'; check it"


def test_exit_codes_are_the_documented_ones() -> None:
    assert {code.name: code.value for code in ExitCode} == {
        "OK": 0,
        "CRASHED": 1,
        "USAGE": 2,
        "OVER_BUDGET": 3,
        "UNRECONCILED": 4,
        "TERMINATED": 143,
    }
