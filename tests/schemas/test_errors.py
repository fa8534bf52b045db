from schemas.errors import UserError


def test_an_error_shows_problem_value_and_remedy_on_one_line() -> None:
    error = UserError("folder not found", value="a\nb", hint="check\nit")
    assert str(error) == r"folder not found: 'a\nb'. Check it."
