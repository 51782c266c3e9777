"""How a model leaves: TFLite, SavedModel, ONNX, each compared with the Keras model.

`formats` is the table of them; importing this folder imports no TensorFlow.
"""
