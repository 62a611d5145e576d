"""Other people's selective search, in an environment that has nothing of the course: a picture's file and a way in, boxes out.

Reads lines {"way": "OpenCV fast", "picture": "….npy"} and answers each with {"seconds": of the processor, "boxes": [[x1, y1, x2, y2], …]}.
"""

import json
import sys
import time
import warnings
from importlib import import_module  # what the course does not depend on, no `import` names

import numpy as np


def opencv(picture, quality):
    cv2 = import_module("cv2")
    cv2.setNumThreads(1)
    search = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
    search.setBaseImage(np.ascontiguousarray(picture[..., ::-1]))
    search.switchToSelectiveSearchQuality() if quality else search.switchToSelectiveSearchFast()
    return [(x, y, x + width, y + height) for x, y, width, height in search.process().tolist()]


def selectivesearch(picture):
    """With the settings of its readme. It gives the small regions first; here the last to be merged come first, as in the paper."""
    _, regions = import_module("selectivesearch").selective_search(picture, scale=500, sigma=0.9, min_size=10)
    corners = [region["rect"] for region in reversed(regions)]
    return list(dict.fromkeys((int(x), int(y), int(x + width) + 1, int(y + height) + 1) for x, y, width, height in corners))


WAYS = {
    "OpenCV fast": lambda picture: opencv(picture, quality=False),
    "OpenCV quality": lambda picture: opencv(picture, quality=True),
    "selectivesearch": selectivesearch,
}


def main():
    warnings.simplefilter("ignore")
    for line in sys.stdin:
        task = json.loads(line)
        way, picture = WAYS[task["way"]], np.load(task["picture"])
        way(picture[:32, :32])  # imports are not its time
        start = time.process_time()
        boxes = way(picture)
        print(json.dumps({"seconds": time.process_time() - start, "boxes": boxes}), flush=True)


if __name__ == "__main__":
    main()
