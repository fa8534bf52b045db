"""Object stores: lists and writes `gs://` through google-cloud-storage, reads all of them through obstore."""
