"""What `python sweeps/doctor.py` looks at, one small function for each question."""
