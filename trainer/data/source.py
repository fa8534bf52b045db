"""The interface of sources of labelled digits; a new kind of source implements it."""

from typing import Protocol

from trainer.data.exchange import Exchange
from trainer.data.reading import Shard
from trainer.data.splits import Digits


class Source(Protocol):
    """A source of labelled digits. Constructors check what is quick to check; reading may take long."""

    def read(
        self, *, validation_fraction: float, shard: Shard = (0, 1), exchange: Exchange | None = None
    ) -> Digits:
        """Returns the labelled digits.

        Args:
            validation_fraction: share of the training images to hold out if the source has no validation
                split of its own, in [0, 1).
            shard: this worker's index and the number of workers. They share the training images; each
                gets all of validation and test.
            exchange: connection between the workers, with which each decodes only its own share.

        Raises:
            UserError: if the source can't be used.
        """
        ...
