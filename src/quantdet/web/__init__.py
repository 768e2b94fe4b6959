"""A page where people try a detector in the browser: a local server, or a folder for any host."""
