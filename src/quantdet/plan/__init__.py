"""Before any training: which nets fit a device."""
