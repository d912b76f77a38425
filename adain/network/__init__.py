"""The network as torch modules, its losses and moments, its weights and those of others.

May import `adain.styles` and `adain.imaging`.
"""
