"""Pictures and data sets: `photos` (real), `shapes` and `counted_objects` (generated); `camvid`, `voc`, `pets`, `pennfudan` and `coco`
(read from a folder).
"""
