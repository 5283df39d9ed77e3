"""The motion hierarchy: cost volume, prime and semantic motion, fusion."""
