"""Which numbers: the confusion matrix and its scores, boundary F1, reliability.

Each is plain NumPy; `confusion` adds the same mIoU as a Keras metric.
"""
