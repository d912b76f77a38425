"""How good a result is: measures, and the gate that decides whether one pass will do.

May import `adain.painting` and what that may import.
"""
