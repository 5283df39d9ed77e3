"""Published figures, each with the place where it was read: of other methods (published.csv) and of the paper itself
(hcml.yaml). ``python -m results.reference check|add``; docs/reference.md says how a table is transcribed."""

from __future__ import annotations

from results.reference.files import HERE, load
from results.reference.model import PaperCell, PublishedRow, ReferenceError, References

__all__ = ["HERE", "PaperCell", "PublishedRow", "ReferenceError", "References", "load"]
