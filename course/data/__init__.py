"""Pictures and data sets: `photos` (real), `shapes` and `counted_objects` (generated); `camvid`, `voc`, `pets`, `pennfudan`, `bccd`
and `coco` (read from a folder).
"""
