"""Forward processes x_t = alpha(t) x0 + sigma(t) eps, time variables for samplers, and discrete chains."""
