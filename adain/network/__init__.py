"""The network as torch modules, its losses and moments, its weights and those of others.

`weights`, `pretrained` (but to load them) and `download` need no torch.
May import `adain.styles` and `adain.imaging`.
"""
