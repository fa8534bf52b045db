"""Lists the input: names, true labels, key ranges of large buckets, work items, and the frozen listing.

`input_listing` yields every image once and in order, `true_labels` attaches labels, and `frozen_listing`
writes the images into the output as work items. Workers list the rest of large buckets in the key ranges of
`bucket_ranges`, with the labels of `frozen_labels`. All later counts must match the count of the frozen
listing.
"""

__all__ = [
    "bucket_ranges",
    "frozen_labels",
    "frozen_listing",
    "input_listing",
    "named_images",
    "relative_names",
    "true_labels",
    "work_item",
]
