"""Pictures with boxes: download, read, check, cache, augment, generate."""
