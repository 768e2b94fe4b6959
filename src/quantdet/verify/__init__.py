"""One exported file on everything that runs it; docs/verify.md."""
