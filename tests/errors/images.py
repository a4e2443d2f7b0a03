"""Images and arguments of Engine.run."""

import numpy as np
from errors.case import Case

from geolrm import Cameras

POSE = np.array([[1.0, 0, 0, 0], [0, 0, -1, -2], [0, 1, 0, 0], [0, 0, 0, 1]])
VIEW = np.zeros((1, 8, 8, 3), np.uint8)


def run(images=VIEW, poses=POSE[None], fov=40.0, **options):
    return lambda place: place.engine().run(images, poses, fov=fov, **options)


def principal_point(place):
    intrinsics = np.array([[60.0, 0, 0.5], [0, 0.01, 0.5], [0, 0, 1]])
    images = [np.zeros((4096, 16, 3), np.uint8)]
    return place.engine().run(images, Cameras(POSE[None], intrinsics))


def full_live(place):
    live = place.engine().live()
    for _ in range(22):
        live.add(VIEW[0], POSE, fov=40.0)


CASES = [
    Case("2 images but 1 poses were given; there must be one pose per image", "Count them.",
         run(np.zeros((2, 8, 8, 3), np.uint8))),
    Case("images have shape …, which is one image; give [V, H, W, 3|4] uint8 or …",
         "Add an axis: image[None].", run(VIEW[0])),
    Case("images are int; they must be an array or a list of arrays", "Load them first.", run(3)),
    Case("no images were given; at least 1 view is needed", "An empty list.",
         run([], np.zeros((0, 4, 4)))),
    Case("image 0 has shape …; it must be [H, W, 3|4] uint8 or [3|4, H, W] float",
         "An image has three axes.", run([np.zeros((8, 8), np.uint8)])),
    Case("image 0 holds NaN or infinity; every pixel must be finite", "Float images.",
         run([np.full((3, 8, 8), np.nan)])),
    Case("image 0 ranges from … to …; float images must be in [0, 1] (divide by 255)",
         "Or convert to uint8.", run([np.full((3, 8, 8), 200.0)])),
    Case("image 0 has dtype …; it must be uint8 or a float in [0, 1]", "Convert it.",
         run([np.zeros((8, 8, 3), np.int32)])),
    Case("image 0 has shape …; … images must be …", "Channels: last in uint8, first in float.",
         run([np.zeros((8, 8, 5), np.uint8)])),
    Case("image 0 is 0 x 8 pixels; sides must be 1 to …", "An empty or enormous image.",
         run([np.zeros((8, 0, 3), np.uint8)])),
    Case("an image of … pixels with principal point … would become a square of … pixels, mostly …",
         "Focal lengths or principal point do not belong to the image.", principal_point),
    Case("… valid masks were given for … images; there must be one per image, or None …",
         "A list as long as the images.", run(valid=[None, None])),
    Case("the valid mask of image 0 is … […]; it must be bool […], the size of the …",
         "A mask is bool: compare with 0 or 128.", run(valid=np.ones((1, 8, 8), np.uint8))),
    Case("both intrinsics and fov were given; give one of them", "They say the same.",
         run(intrinsics=np.eye(3))),
    Case("no poses were given; they must be [V, 4, 4] matrices, or Cameras", "None was passed.",
         run(poses=None)),
    Case("… views were given; this bundle takes 1 to 21. Choose fewer, or export it again with …",
         "The graphs take a range of views.",
         run(np.zeros((22, 8, 8, 3), np.uint8), np.tile(POSE, (22, 1, 1)))),
    Case("max_tokens is …; this bundle takes 1 to 512. Choose within that, or export it again …",
         "The graphs take a range of anchors.", run(max_tokens=9999)),
    Case("seed is …; it must be a whole number from 0 to …", "Of anchor selection.", run(seed=-1)),
    Case("selection is …; it must be 'random' or 'confident'", "How anchors are thinned.",
         run(selection="best")),
    Case("quality is …; it must be 'fast', 'balanced', 'best', or seconds up to …",
         "How much is refined.", run(quality="good")),
    Case("both quality, …, and refine_steps, …, were given; give one of them",
         "A quality has its own number of steps.", run(quality="fast", refine_steps=3)),
    Case("refine_poses is …; it must be 'auto', True or False", "Whether cameras are moved.",
         run(refine_poses="on")),
    Case("refine_poses is True, but refine_steps is 0; poses are refined with the Gaussians: …",
         "Poses are refined by the same descent.", run(refine_poses=True, refine_steps=0)),
    Case("shading is …; it must be 'auto', True or False", "Whether colours depend on direction.",
         run(shading="on")),
    Case("shading is True, but refine_steps is 0; colours by direction are found by the "
         "refinement: …", "They come of the same descent.", run(shading=True, refine_steps=0)),
    Case("anchors are not an array of numbers: …", "Ragged lists or text.",
         run(anchors=[[1, 2], [3]])),
    Case("anchors have shape …; they must be [N, 3]", "Positions in the cube.",
         run(anchors=np.zeros((3, 2)))),
    Case("anchors hold values outside the object cube; every coordinate must be finite and in …",
         "Scale them to the cube [-0.5, 0.5]^3.", run(anchors=np.ones((3, 3)))),
    Case("… anchors were given; this bundle takes 1 to 512", "Fewer, or another bundle.",
         run(anchors=np.zeros((600, 3)))),
    Case("no images were given; add at least 1 view before run", "Of a live capture.",
         lambda place: place.engine().live().run()),
    Case("this capture has 21 views, the most this bundle takes; remove one, start a new …",
         "Of a live capture.", full_live),
    Case("this capture has no view 3; its views are none: give a number that add returned",
         "Of a live capture.", lambda place: place.engine().live().remove(3)),
]  # fmt: skip
