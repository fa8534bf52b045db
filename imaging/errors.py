"""Why some bytes are no digit."""

from schemas.failure import FailureCode


class ImageError(Exception):
    """One image cannot become a canonical digit; its neighbours are not affected.

    Args:
        code: the failure's code.
        detail: what was found, one line, never empty.
    """

    def __init__(self, code: FailureCode, detail: str) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = " ".join(detail.split())

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"
