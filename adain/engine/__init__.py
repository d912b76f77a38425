"""What computes: the choice of a device and its memory.

May import `adain.network` and what that may import.
"""
