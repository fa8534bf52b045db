"""Earlier runs: finds them, and skips the images that they have scored already."""
