"""Scores of a model, pictures and plots of its results, and the check of a data set.

Importing this folder imports no TensorFlow; importing `evaluate` does.
"""
