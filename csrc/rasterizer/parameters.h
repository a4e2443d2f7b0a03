// Every number of the splatting mathematics, and the cameras. See docs of the Python `render`.
#pragma once

namespace geolrm::raster {

struct Parameters {
  double near_plane = 0.01;         // splats with camera z below this are dropped
  double eps2d = 0.3;               // px^2 added to the diagonal of the projected covariance
  double alpha_max = 0.99;          // clamp of one splat's alpha
  double alpha_min = 1.0 / 255.0;   // a splat's support is exactly {alpha >= alpha_min}
  double transmittance_min = 1e-4;  // a pixel is finished when it would fall to this or below
  double clip_margin = 0.3;  // x/z, y/z of the Jacobian stay within the frustum grown by this
  bool antialiased = false;  // opacity times sqrt(det before / det after eps2d)
  float background[3] = {1, 1, 1};
};

// OpenCV axes: x right, y down, z forward; pixels, centres at integer + 0.5.
struct Camera {
  double rotation[9];  // world to camera, row-major
  double translation[3];
  double fx, fy, cx, cy;
};

struct ImageSize {
  int width, height;
};

}  // namespace geolrm::raster
