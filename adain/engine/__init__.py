"""Computing: a model with its weights, run by ONNX Runtime or by torch; devices and memory.

May import `adain.network` and what that may import.
"""
