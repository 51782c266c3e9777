"""Labels many pictures in one go: files, folders, video, and images of any size.

sources -> reading -> the network -> results; `stream` lets the steps overlap, `record`
knows what is done, and `run` puts them together. `naming` gives each file its results'
name; `large` and `tiff`, `video` and `video_streams` are for files of their own kind.
`beam` does the same on many machines.
"""
