"""How a model file labels a picture: found, opened, run whole or in tiles.

Importing this folder imports no TensorFlow; a .tflite file is run without it.
"""
