"""Hours of load and faults: nothing is lost, and nothing grows."""
