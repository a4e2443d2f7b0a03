import numpy as np
import torch
from harness.data import DATA

from geolrm.export.model.geometry import pluecker_rays, project, projection_matrices

VECTORS = np.load(DATA / "conformance" / "unit_vectors.npz")


def vector(name):
    return torch.from_numpy(VECTORS[name])


def test_rays_go_through_pixel_centres():
    c2w, intrinsics = vector("zero123plus_r1.5_c2ws"), vector("zero123plus_r1.5_Ks")
    rays = pluecker_rays(intrinsics, c2w, 6, normalise=False)[:1]
    side = 6
    pixel = torch.tensor([4, 1])  # column, row
    focal = intrinsics[0, 0, 0] * side
    camera = torch.tensor([(pixel[0] + 0.5 - 3) / focal, -(pixel[1] + 0.5 - 3) / focal, -1.0])
    direction = c2w[0, :3, :3] @ camera
    moment = torch.linalg.cross(c2w[0, :3, 3], direction)
    np.testing.assert_allclose(rays[0, :3, 1, 4], direction, atol=1e-6)
    np.testing.assert_allclose(rays[0, 3:, 1, 4], moment, atol=1e-6)
    unit = pluecker_rays(intrinsics, c2w, 6, normalise=True)[:, :3]
    np.testing.assert_allclose(unit.norm(dim=1), 1, atol=1e-6)


def test_projection_flips_u_only():
    c2w = torch.eye(4)[None].clone()
    c2w[0, 2, 3] = 2.0  # above the origin, looking down
    intrinsics = torch.tensor([[[1.2, 0, 0.5], [0, 1.2, 0.5], [0, 0, 1]]])
    uv = project(torch.tensor([[0.1, 0.2, 0.0]]), projection_matrices(intrinsics, c2w))
    np.testing.assert_allclose(uv[0, 0], [0.5 + 1.2 * 0.05, 0.5 - 1.2 * 0.1], atol=1e-6)
