"""Prediction: finds a model file, opens it and runs it on images, whole or in tiles.

Importing this folder imports no TensorFlow. A `.tflite` file runs without TensorFlow.
"""
