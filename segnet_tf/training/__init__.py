"""Training runs: options, recipes, augmentation, losses, optimizers, folder, trainer.

Importing this folder imports no TensorFlow; importing `trainer` does.
"""
