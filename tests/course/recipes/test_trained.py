"""`trained` gives every model that comes with the course, ready to answer."""

import pytest
import torch

from course.data.shapes import Shapes
from course.recipes import faster_rcnn, rcnn, trained
from course.weights import load_weights


def test_it_is_the_recipes_model_with_the_shipped_weights():
    model = trained("faster_rcnn")
    assert not any(module.training for module in model.modules())
    torch.testing.assert_close(model.state_dict(), load_weights("faster_rcnn"), rtol=0, atol=0)


def test_of_other_data_than_the_usual_ones():
    assert trained("faster_rcnn_bccd").head.classes.out_features == len(faster_rcnn.CLASSES["bccd"]) == 4


def test_where_only_a_part_is_learnt_the_whole_comes():
    model, learnt = trained("rcnn"), rcnn.build()
    learnt.load_state_dict(load_weights("rcnn"))
    picture = [Shapes("test", count=1, size=128, target="instances")[0][0]]
    torch.testing.assert_close(model(picture), rcnn.detector(learnt)(picture))
    assert len(model(picture)[0]["boxes"])


def test_what_was_never_trained():
    with pytest.raises(ValueError, match="no weights called 'rcn' .did you mean rcnn"):
        trained("rcn")
