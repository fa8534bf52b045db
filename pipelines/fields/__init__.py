"""Fields: joins the digits of an amount or a reading, each an image, into one value with one decision.

`field_names` determines the field of an image, `field_join` groups a field's images in constant memory,
`field_values` makes a value of them, which `field_checks` may reject, and `run_fields` does all this for a
run.
"""

__all__ = [
    "run_fields",
]
