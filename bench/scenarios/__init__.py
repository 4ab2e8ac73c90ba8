"""One module for each thing that is measured; each has `run`, which returns an Outcome."""
