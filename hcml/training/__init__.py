"""Training, testing, and what makes a run survive interruptions."""
