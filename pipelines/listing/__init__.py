"""Lists the input: names, true labels, key ranges of large buckets, work items, and the frozen listing."""
