"""Learning encoder and decoder: pictures, objectives, the loop.

May import `adain.optimizing` and what that may import.
"""
