"""Groups of layers that several recipes share."""

import keras


def perceptron(*units: int, dropout: float, batch_norm: bool) -> keras.Model:
    """Build a network of dense layers with ReLU, optionally with batch normalization and dropout.

    Args:
        units: output features of each hidden layer.
        dropout: dropout rate, in [0, 1).
        batch_norm: whether to normalize before ReLU.
    """
    return keras.Sequential(
        [
            keras.Input((28, 28), dtype="uint8"),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            *(layer for each in units for layer in _dense(each, dropout=dropout, batch_norm=batch_norm)),
            keras.layers.Dense(10, activation="softmax", dtype="float32"),
        ]
    )


def _dense(units: int, *, dropout: float, batch_norm: bool) -> list[keras.layers.Layer]:
    normalized = [
        keras.layers.Dense(units, use_bias=False),
        keras.layers.BatchNormalization(),
        keras.layers.ReLU(),
    ]
    plain = [keras.layers.Dense(units, activation="relu")]
    return (normalized if batch_norm else plain) + ([keras.layers.Dropout(dropout)] if dropout else [])


def convolution(
    filters: int, *, kernel: int = 3, stride: int = 1, padding: str = "same", pooled: bool = False
) -> list[keras.layers.Layer]:
    """Return a convolution, optional max-pooling, batch normalization and ReLU.

    Pooling comes before normalization, which then has a quarter of the values: a small network's step
    takes an eighth less time.

    Args:
        filters: output channels.
        kernel: side of the kernel, pixels.
        stride: pixels from one output to the next.
        padding: `same` or `valid`.
        pooled: whether to max-pool 2 × 2 pixels.
    """
    return [
        keras.layers.Conv2D(filters, kernel, strides=stride, padding=padding, use_bias=False),
        *([keras.layers.MaxPooling2D()] if pooled else []),
        keras.layers.BatchNormalization(momentum=0.9),
        keras.layers.ReLU(),
    ]


def pyramid(*channels: int, dropout: float) -> keras.Model:
    """Build a network of five convolutions: one of 5 × 5, two pairs of 3 × 3, each group pooled."""
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
