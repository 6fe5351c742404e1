"""Several: trainings that belong together: one after another, with other seeds, or as members of an ensemble."""
