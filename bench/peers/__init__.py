"""Other servers that push events, run beside ours in the same run and on the same core."""
