"""One reader per data set format; FORMATS maps the name to it."""
