"""What recipes are made of: the type, layers, schedules, augmentation, teachers, search spaces, overrides."""
