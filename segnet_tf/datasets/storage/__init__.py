"""Where decoded pictures are kept, and how TensorFlow's graph reads stored ones."""
