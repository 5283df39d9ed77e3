"""Hierarchical Contrastive Motion Learning: the method, in torch, timm and decord."""
