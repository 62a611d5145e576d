"""Untrained detectors of torchvision's whose answers differ from place to place, as a trained one's do.

As they are made, all scores are nearly the same, or all are 1: then their order, and with it what is suppressed, is an accident.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn


def calibrate(network: nn.Module, images: Sequence[Tensor], targets: Sequence[Mapping[str, Tensor]]) -> nn.Module:
    """A Faster R-CNN with random batch norms, whose running statistics are those of these pictures, and with scores that are spread.

    Running statistics of 0 and 1, as they are made, would also hide a tensor that was not copied. Left in evaluation mode.
    """
    torch.manual_seed(3)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        nn.init.uniform_(norm.weight, 0.5, 1.0)
        nn.init.normal_(norm.bias, std=0.1)
        norm.momentum = 1.0  # the statistics of the last batch
    with torch.no_grad():
        network.train()(list(images), list(targets))
    for norm in norms:
        norm.momentum = 0.1
    network.eval()
    head, predictor = network.rpn.head, network.roi_heads.box_predictor
    spread(network, images, {head.cls_logits: 2.0, head.bbox_pred: 0.3})
    spread(network, images, {predictor.cls_score: 2.0, predictor.bbox_pred: 1.0})
    return network


def spread(network: nn.Module, images: Sequence[Tensor], deviations: Mapping[nn.Module, float]) -> None:
    """Scales and shifts layers so that each of their outputs has mean 0 and this deviation over all places, or regions."""
    seen = {layer: [] for layer in deviations}
    handles = [layer.register_forward_hook(lambda m, i, output: seen[m].append(output.transpose(0, 1).flatten(1))) for layer in deviations]
    with torch.no_grad():
        network(list(images))
        for (layer, deviation), handle in zip(deviations.items(), handles, strict=True):
            handle.remove()
            outputs = torch.cat(seen[layer], 1)
            factor = deviation / outputs.std(1)
            layer.bias.copy_((layer.bias - outputs.mean(1)) * factor)
            layer.weight.mul_(factor.reshape(-1, *[1] * (layer.weight.dim() - 1)))
