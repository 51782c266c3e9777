"""The metrics: the confusion matrix and its scores, boundary F1, reliability.

All are plain NumPy; `confusion` also has mIoU as a Keras metric.
"""
