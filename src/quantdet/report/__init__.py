"""HTML report and plots; reads result files only."""
