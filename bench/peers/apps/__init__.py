"""Programs of their own, each run by its peer; they import nothing of attune."""
