"""The interface of every source of labelled digits."""

from typing import Protocol

from trainer.data.exchange import Exchange
from trainer.data.reading import Shard
from trainer.data.splits import Digits


class Source(Protocol):
    """Where labelled digits come from. Making one checks what can be checked at once; reading may be long."""

    def read(
        self, *, validation_fraction: float, shard: Shard = (0, 1), exchange: Exchange | None = None
    ) -> Digits:
        """Returns the labelled digits.

        Args:
            validation_fraction: share of the training images to hold out where the source has no
                validation split of its own, in [0, 1).
            shard: this worker's number and how many workers share the training images; each has
                all of validation and test.
            exchange: the workers' connection, with which each need decode its own share alone.

        Raises:
            UserError: when the source cannot be used.
        """
        ...
