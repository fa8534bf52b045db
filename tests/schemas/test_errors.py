from schemas.errors import UserError


def test_an_error_says_the_rule_the_value_and_the_remedy_on_one_line() -> None:
    error = UserError("a folder exists", got="a\nb", remedy="check\nit")
    assert str(error) == r"a folder exists; got 'a\nb'; check it"
