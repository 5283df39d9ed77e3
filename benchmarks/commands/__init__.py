"""What `python -m benchmarks` does to the files of a data set: prepare, audit, pack, stage, list. __main__.py wires."""
