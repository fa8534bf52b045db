"""Fields: joins the digits of an amount or a reading, each an image, into one value with one decision.

`field_names` says which field an image belongs to, `field_join` brings a field's images together in flat
memory, `field_values` makes a value of them that `field_checks` may refuse, and `run_fields` does this for a
run by its options.
"""

__all__ = [
    "run_fields",
]
