"""Beam's runners: their options, checks before a run starts, Dataflow, Flink, failures and stop signals."""
