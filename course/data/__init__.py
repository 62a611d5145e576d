"""Pictures and data sets: `photos` (real), `shapes` (generated); `camvid`, `voc`, `pets`, `pennfudan` and `coco` (read from a folder)."""
