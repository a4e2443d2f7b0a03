"""One object's truth, and how a reconstruction scores against it."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from geolrm.bench.quality import shape_metrics
from geolrm.bench.quality.dataset import Subject
from geolrm.bench.quality.image_metrics import StructuralSimilarity, pooled_psnr
from geolrm.bench.quality.protocol import TARGET_GROUPS, TARGETS
from geolrm.bench.quality.scores import Scores
from geolrm.bench.quality.similarity_fit import fit_similarity
from geolrm.engine.gaussians.gaussians import Gaussians
from geolrm.engine.geometry.cameras import Cameras
from geolrm.engine.meshing.fusion import fuse
from geolrm.engine.meshing.mesh import surface_points
from geolrm.engine.rendering.render import render
from geolrm.engine.system.extras import installed_version
from geolrm.engine.views.alpha import composite_on_white

MESH_SIZE, MESH_VIEWS = 96, 32  # voxels along the object, and images fused
Images = list[NDArray[np.float32]]  # [H, W, 3] each, in [0, 1]
Perceive = Callable[[Images, Images], float]


class Judge:
    """Scores reconstructions of one object at the target frames.

    Args:
        subject: The object.
        grid: Voxels along an axis, for the occupancy.
        seed: Of the points that are sampled from a reconstruction.
        threads: Of the rasterizer; None takes all cores.
        perceive: LPIPS, when it is wanted.
    """

    def __init__(
        self,
        subject: Subject,
        *,
        grid: int,
        seed: int,
        threads: int | None,
        perceive: Perceive | None = None,
    ):
        self.truths: Images = on_white(subject, TARGETS)
        self._similarities = [StructuralSimilarity(truth) for truth in self.truths]
        self._cameras = subject.capture.cameras[list(TARGETS)]
        self._points = subject.points
        self._occupied = shape_metrics.occupied_voxels(subject.points, grid)
        self._seed, self._threads, self._perceive = seed, threads, perceive

    def render(self, gaussians: Gaussians) -> Images:
        """Render the target views on white, clipped to [0, 1], each of its truth's size."""
        sizes = [(truth.shape[1], truth.shape[0]) for truth in self.truths]
        return render_each(gaussians, self._cameras, sizes, self._threads)

    def placed(self, gaussians: Gaussians) -> Gaussians:
        """Move a scene by the similarity after which it fits the truths best.

        Where the poses of the inputs are wrong, they do not tell where the object lies, nor how
        large it is. The truths of the first one's size count.
        """
        if not len(gaussians):
            return gaussians
        shape = self.truths[0].shape
        chosen = [index for index, truth in enumerate(self.truths) if truth.shape == shape]
        truths = np.stack([self.truths[index] for index in chosen])
        matrix, _ = fit_similarity(gaussians, self._cameras[chosen], truths, self._threads)
        return gaussians.transformed(matrix)

    def white(self) -> Scores:
        """Score white images and no shape."""
        images = [np.ones_like(truth) for truth in self.truths]
        nothing = np.zeros_like(self._occupied)
        return self._scores(images, nothing, np.empty((0, 3)))

    def scores(
        self, images: Images, gaussians: Gaussians, occupied: NDArray[np.bool_] | None
    ) -> Scores:
        """Score one reconstruction.

        Args:
            images: The target views, as :meth:`render` yields them.
            gaussians: Whose density is compared with the surface.
            occupied: [G, G, G] voxels that are taken to be occupied; None if it is not known.
        """
        generator = np.random.default_rng(self._seed)
        points = shape_metrics.sample_points(gaussians, shape_metrics.SAMPLES, generator)
        scores = self._scores(images, occupied, points)
        fit = self._mesh_fit(gaussians)
        if fit is not None:
            scores.mesh_cd, scores.mesh_cd2 = fit.cd, fit.cd2
            scores.mesh_f02, scores.mesh_f002 = fit.f02, fit.f002
        return scores

    def _mesh_fit(self, gaussians: Gaussians) -> shape_metrics.Fit | None:
        """Measure how near the fused mesh is to the surface; None without scikit-image or mesh."""
        if installed_version("scikit-image") is None:
            return None
        mesh = fuse(gaussians, size=MESH_SIZE, views=MESH_VIEWS, threads=self._threads)
        if not len(mesh.faces):
            return None
        generator = np.random.default_rng(self._seed)
        points = surface_points(mesh.vertices, mesh.faces, shape_metrics.SAMPLES, generator)
        return shape_metrics.fit(points, self._points)

    def _scores(
        self, images: Images, occupied: NDArray[np.bool_] | None, points: NDArray
    ) -> Scores:
        fit = shape_metrics.fit(points, self._points)
        overlap = shape_metrics.intersection_over_union
        similarities = zip(self._similarities, images, strict=True)
        scores = Scores(
            psnr=pooled_psnr(images, self.truths),
            ssim=float(np.mean([similarity(image) for similarity, image in similarities])),
            iou=None if occupied is None else overlap(occupied, self._occupied),
            cd=fit.cd,
            cd2=fit.cd2,
            f02=fit.f02,
            f002=fit.f002,
            groups={
                group: pooled_psnr(_select(images, frames), _select(self.truths, frames))
                for group, frames in TARGET_GROUPS.items()
            },
        )
        if self._perceive:
            scores.lpips = self._perceive(images, self.truths)
        return scores


def on_white(subject: Subject, frames: Sequence[int]) -> Images:
    """Composite frames of a capture on white."""
    return [composite_on_white(subject.capture.images[frame], frame) for frame in frames]


def render_each(
    gaussians: Gaussians, cameras: Cameras, sizes: list[tuple[int, int]], threads: int | None
) -> Images:
    """Render a view for each camera, of its own size (width, height), on white.

    Views of one size are rendered in one call.
    """
    images: Images = [np.empty(0, np.float32)] * len(sizes)
    for size in dict.fromkeys(sizes):
        chosen = [index for index, other in enumerate(sizes) if other == size]
        rendered = render(gaussians, cameras[chosen], size, threads=threads).rgb.clip(0, 1)
        for index, image in zip(chosen, rendered, strict=True):
            images[index] = image
    return images


def _select(images: Images, frames: Sequence[int]) -> Images:
    """Select the images of a group, out of one for each target."""
    return [images[TARGETS.index(frame)] for frame in frames]
