"""Fine-tuning: a run that starts from a model's weights, vocabulary and counts, and learns another text."""
