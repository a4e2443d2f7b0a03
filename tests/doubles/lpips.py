"""The network of ``torchmetrics``' LPIPS, without its weights and its later stages.

Tensors are named and shaped as those of the real one, so files of weights are read and checked as
they would be; what it measures is not LPIPS.
"""

import torch

STAGES = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))
CHANNELS = (64, 128, 256, 512, 512)


class LpipsDouble(torch.nn.Module):
    """Tensors named and shaped like those of torchmetrics, five stages."""

    def __init__(self, pretrained, net, pnet_rand):
        super().__init__()
        assert not pretrained and net == "vgg" and pnet_rand
        self.net = torch.nn.Module()
        inputs = 3
        for stage, (layers, outputs) in enumerate(zip(STAGES, CHANNELS, strict=True)):
            convolutions = torch.nn.Module()
            for layer in layers:
                convolutions.add_module(str(layer), torch.nn.Conv2d(inputs, outputs, 3, padding=1))
                inputs = outputs
            setattr(self.net, f"slice{stage + 1}", convolutions)
            mixture = torch.nn.Module()
            mixture.model = torch.nn.Sequential(
                torch.nn.Dropout(), torch.nn.Conv2d(outputs, 1, 1, bias=False)
            )
            setattr(self, f"lin{stage}", mixture)

    def forward(self, first, second, normalize):
        assert normalize and not self.training
        seen = [self.net.slice1.get_submodule("0")(2 * image - 1) for image in (first, second)]
        return self.lin0.model((seen[0] - seen[1]) ** 2).mean((2, 3), keepdim=True)
