"""`python -m schemas` regenerates `schemas/generated/` after a record has changed."""

import pathlib

from schemas.render import generated_files

GENERATED = pathlib.Path(__file__).parent / "generated"


def main() -> None:
    """Write every generated file and print its name."""
    for name, text in generated_files().items():
        (GENERATED / name).write_text(text, encoding="utf-8")
        print(f"schemas/generated/{name}")


if __name__ == "__main__":
    main()
