"""A computer with B200s that is not there: what stands in for its silicon, its driver, its hub and its clock."""
