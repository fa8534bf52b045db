"""Worker processes of one machine: where Beam's in-process runner would leave all cores but one idle."""
