"""Export: TFLite, SavedModel and ONNX, each compared with its Keras model.

`formats` holds the table of formats. Importing this folder imports no TensorFlow.
"""
