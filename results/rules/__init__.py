"""Rules over run folders, in the manner of MLPerf's compliance checker: rules are data, checks are named functions.

runs.yaml      the rules: id, what is demanded, level, phases, the named check with its parameters
model.py       a rule, and how a rules file is read and refused
folder.py      a run folder as a check sees it: every file read once, what is damaged is said, never raised
on_records.py, on_lineage.py, on_files.py, on_predictions.py
               the checks, by what they look at
"""
