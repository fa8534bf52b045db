"""`digitmill card`: prints the card of a model bundle, as text or as JSON."""

from digitmill.commands import answer, argument, verb
from digitmill.commands.parameter_types import FOLDER
from digitmill.default_model import SHIPPED_MODEL
from schemas.errors import UserError
from schemas.model import bundle as names


@verb()
@argument("bundle", type=FOLDER, default=str(SHIPPED_MODEL), metavar="[BUNDLE]")
def card(bundle: str) -> None:
    """Print what a model bundle is, how good it is and how it was made.

    BUNDLE is a folder, local or in a bucket; by default the model that comes with digitmill.

    \b
    Examples:
      digitmill card
      digitmill card run/bundle --json
    """
    from digitmill.engines.bundle_files import read_card
    from digitmill.reports.card_text import format_card
    from schemas.model.model_card import ModelCard
    from schemas.versioned import parse_json

    content = read_card(bundle)
    try:
        read = ModelCard.from_json(content.decode())
    except ValueError as error:
        raise UserError(
            f"unreadable {names.CARD} in the bundle",
            value=bundle,
            hint=f"copy the bundle again or train a new one ({error})",
        ) from error
    answer(format_card(read), parse_json(content))
