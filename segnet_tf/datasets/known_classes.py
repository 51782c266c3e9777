"""Class lists of public data sets that do not bring theirs, as texts."""

__all__ = ["CITYSCAPES_CLASSES", "VOC_CLASSES"]

VOC_CLASSES = "\n".join(
    (
        "background aeroplane bicycle bird boat bottle bus car cat chair cow "
        "diningtable dog horse motorbike person pottedplant sheep sofa train tvmonitor"
    ).split()
)

# The 19 of its 34 ids that Cityscapes scores, and its colours.
CITYSCAPES_CLASSES = """0 void
7 road 128 64 128
8 sidewalk 244 35 232
11 building 70 70 70
12 wall 102 102 156
13 fence 190 153 153
17 pole 153 153 153
19 traffic light 250 170 30
20 traffic sign 220 220 0
21 vegetation 107 142 35
22 terrain 152 251 152
23 sky 70 130 180
24 person 220 20 60
25 rider 255 0 0
26 car 0 0 142
27 truck 0 0 70
28 bus 0 60 100
31 train 0 80 100
32 motorcycle 0 0 230
33 bicycle 119 11 32
"""
