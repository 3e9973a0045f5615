"""Forward processes: x_t = alpha(t) x0 + sigma(t) eps, their coordinates and their discrete chains."""
