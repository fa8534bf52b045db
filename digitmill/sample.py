"""`digitmill sample`: real digits as image files, for a first try without data of one's own."""

import pathlib

import click

from schemas.errors import UserError

_SPLITS = ("train", "validation", "test")


@click.command(short_help="Write real digits as PNGs, for a first try.")
@click.argument("folder", type=click.Path(path_type=pathlib.Path))
@click.option(
    "--split",
    type=click.Choice(_SPLITS),
    default="test",
    show_default=True,
    help="Which of the sample's splits: 4,000, 500 or 500 images; the trainer never sees test.",
)
def sample(folder: pathlib.Path, *, split: str) -> None:
    """Write digits of the embedded sample to FOLDER as PNGs, one sub-folder per label.

    \b
    Example:
      digitmill sample digits
    """
    written = write_sample(folder, split)
    click.echo(f"{written:,} images of the {split} split in {folder}")


def write_sample(folder: pathlib.Path, split: str) -> int:
    """Writes a split of the sample to FOLDER/LABEL/NUMBER.png and returns how many images it has.

    Raises:
        UserError: when the folder holds something already, or cannot be written.
    """
    import cv2

    from trainer.data import sample as source

    digits = getattr(source.digits(), split)
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UserError(
                "the folder for the sample is new or empty", got=str(folder), remedy="name another one"
            )
        for number, (image, label) in enumerate(zip(digits.images, digits.labels, strict=True)):
            target = folder / str(label) / f"{number:05d}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(cv2.imencode(".png", image)[1].tobytes())
    except OSError as error:
        raise UserError(
            "the folder for the sample can be written",
            got=str(folder),
            remedy=f"choose another one: {error.strerror}",
        ) from error
    return len(digits.labels)
