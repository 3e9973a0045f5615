"""The running process: start of a command, signals, random state, joined processes."""
