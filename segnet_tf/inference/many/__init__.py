"""Labels many pictures in one go: files, folders, video, and images of any size.

sources -> reading -> the network -> results; `stream` lets the steps overlap, `record`
knows what is done. `beam` does the same on many machines.
"""
