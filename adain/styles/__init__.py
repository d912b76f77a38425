"""Styles as numbers: statistics of features, mixing, pooling, where each holds, recoloring.

May import `adain.imaging`.
"""
