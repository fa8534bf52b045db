"""The layers of which the recipes are made."""

import keras


def dense(units: int, *, dropout: float = 0.0, batch_norm: bool = False) -> list[keras.layers.Layer]:
    """Returns a dense layer with ReLU; with what was asked for beside it.

    Args:
        units: features out.
        dropout: share of them that is dropped in training, in [0, 1).
        batch_norm: whether they are normalised before ReLU.
    """
    normalised = [
        keras.layers.Dense(units, use_bias=False),
        keras.layers.BatchNormalization(),
        keras.layers.ReLU(),
    ]
    plain = [keras.layers.Dense(units, activation="relu")]
    return (normalised if batch_norm else plain) + ([keras.layers.Dropout(dropout)] if dropout else [])


def convolution(
    filters: int, *, kernel: int = 3, padding: str = "same", pooled: bool = False
) -> list[keras.layers.Layer]:
    """Returns a convolution, max-pooling where asked for, batch normalisation and ReLU.

    Pooled before it is normalised: of four values three are gone by then, which takes an eighth off
    the step of a small network.

    Args:
        filters: channels out.
        kernel: side of the kernel, pixels.
        padding: `same` or `valid`.
        pooled: whether each 2 × 2 pixels become one.
    """
    return [
        keras.layers.Conv2D(filters, kernel, padding=padding, use_bias=False),
        *([keras.layers.MaxPooling2D()] if pooled else []),
        keras.layers.BatchNormalization(momentum=0.9),
        keras.layers.ReLU(),
    ]


def pyramid(*channels: int, dropout: float) -> keras.Model:
    """Builds a network of five convolutions: 5 × 5, and twice two of 3 × 3, pooled after each group.

    Args:
        channels: of the three groups.
        dropout: share of the last features that are dropped in training.
    """
    first, second, third = channels
    return keras.Sequential(
        [
            keras.Input((28, 28), dtype="uint8"),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Reshape((28, 28, 1)),
            *convolution(first, kernel=5, padding="valid", pooled=True),
            *convolution(second),
            *convolution(second, pooled=True),
            *convolution(third),
            *convolution(third, pooled=True),
            keras.layers.Flatten(),
            keras.layers.Dropout(dropout),
            keras.layers.Dense(10, activation="softmax", dtype="float32"),
        ]
    )
