"""Frames of films: where shots begin, what holds for all of one, and calm between frames.

Arrays in, arrays out; files are for others. May import `adain.painting` and what that may import.
"""
