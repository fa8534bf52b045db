from schemas.errors import UserError


def test_an_error_shows_problem_value_and_remedy_on_one_line() -> None:
    error = UserError("a folder exists", got="a\nb", remedy="check\nit")
    assert str(error) == r"a folder exists: 'a\nb'. Check it"
