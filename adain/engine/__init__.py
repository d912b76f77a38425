"""Computing: a model with its weights, run by ONNX Runtime or by torch; devices and memory.

Beside it: small networks that find faces and people.

May import `adain.network` and what that may import.
"""
