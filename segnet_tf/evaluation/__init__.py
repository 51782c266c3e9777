"""How good a model is, and what that looks like: scores, pictures, plots, data checks.

Importing this folder imports no TensorFlow; `evaluate` does.
"""
