"""Rendering: what geolrm.render and Gaussians.render refuse."""

from types import SimpleNamespace

import numpy as np
from errors.case import Case

from geolrm import Cameras, Gaussians, InputError, render
from geolrm.engine.rendering.frame import to_opencv
from geolrm.engine.rendering.images import Renders


def rendered(gaussians=None, cameras=None, size=(8, 8), **options):
    one = np.ones((1, 3), np.float32)
    gaussians = gaussians or Gaussians(one * 0, one[:, 0] / 2, one, one[:, [0, 0, 0, 0]], one)
    cameras = cameras or Cameras.orbit([0], 0, 1.5, 40)
    return lambda place: render(gaussians, cameras, size, **options)


def shared_images():
    image = np.zeros((1, 8, 8), np.float32)
    return Renders(np.zeros((1, 8, 8, 3), np.float32), image, image)


def posed(c2w, intrinsics):
    return lambda place: to_opencv(c2w, intrinsics, (8, 8))


CASES = [
    Case("backend is 'gpu'; it must be one of auto, cpu, cuda", "Of render.",
         rendered(backend="gpu"), InputError),
    Case("gaussians is a SimpleNamespace without means; pass Gaussians, or what has means, …",
         "Of render.", rendered(SimpleNamespace(a=1)), InputError),
    Case("background is 'white'; it must be three numbers: red, green and blue, black at 0 and …",
         "Of render.", rendered(background="white"), InputError),
    Case("antialiased is 2; it must be True or False", "Of render.", rendered(antialiased=2),
         InputError),
    Case("near is 'x'; it must be a number", "Of render.", rendered(near="x"), InputError),
    Case("size is 8; it must be two whole numbers: (width, height) in px", "Of render.",
         rendered(size=8), InputError),
    Case("image side is 0; it must lie in [1, 16384] px. Render larger images in parts",
         "Of render.", rendered(size=(8, 0)), InputError),
    Case("threads is 0; it must be a whole number, 1 or more, or None for all cores",
         "Of render.", rendered(threads=0), InputError),
    Case("out is a list; it must be Renders, such as Renders.empty(views, size)", "Of render.",
         rendered(out=[]), InputError),
    Case("out has images that share memory; rgb, alpha and depth must be arrays of their own",
         "Of render.", rendered(out=shared_images()), InputError),
    Case("cameras.c2w has shape [4, 4]; it must be [V, 4, 4]", "Of render.",
         posed(np.eye(4), np.eye(3)[None]), InputError),
    Case("cameras.intrinsics has shape [2, 3, 3]; it must be [1, 3, 3], one for each pose",
         "Of render.", posed(np.eye(4)[None], np.stack([np.eye(3)] * 2)), InputError),
    Case("cameras.c2w holds a matrix without an inverse; pass rigid camera-to-world matrices",
         "Of render.", posed(np.zeros((1, 4, 4)), np.eye(3)[None]), InputError),
    Case("alpha_max is 1; it must lie in (0, 1)…", "Of render.", rendered(alpha_max=1.0),
         InputError),
]  # fmt: skip
