"""The self-supervised objectives: reconstruction, contrast, curriculum."""
