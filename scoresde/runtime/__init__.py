"""The process a program runs in: start, signals, random state, several processes."""
