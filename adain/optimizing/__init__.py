"""Gatys' optimisation of a picture: the loss, the loop, optimisers, and what layers see.

May import `adain.quality` and what that may import.
"""
