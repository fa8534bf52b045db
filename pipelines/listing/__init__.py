"""Lists the input: names, true labels, key ranges of large buckets, work items, and the frozen listing.

`input_listing` yields every image once and in order, `true_labels` attaches labels, and `frozen_listing`
writes the images into the output as work items. The count of the frozen listing is what every later count
is held to.
"""

__all__ = [
    "frozen_listing",
    "input_listing",
    "true_labels",
    "work_item",
]
